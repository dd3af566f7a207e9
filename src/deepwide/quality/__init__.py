"""How good a model will be: laws of the loss, with their range and uncertainty."""
