"""Encoders with a masked-language head, and their causal twins."""
