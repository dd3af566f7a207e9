"""What happens inside a model: gradients, likeness of tokens, attention, memories, the tangent kernel."""
