"""Text models with towers for pictures or sound in front, and models of bytes."""
