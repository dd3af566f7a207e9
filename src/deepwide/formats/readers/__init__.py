"""Generic readers: they ask a config what a model is made of, and put the parts together."""
