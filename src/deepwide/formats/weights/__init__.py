"""Files of weights: what their headers say of a model, without a weight being read."""
