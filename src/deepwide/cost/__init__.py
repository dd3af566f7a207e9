"""What a model costs: memory, and the time of its operations."""
