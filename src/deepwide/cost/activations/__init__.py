"""What is kept for the backward pass: by an eager run of transformers, to the byte, and by a training engine."""
