"""Decoders that mix attention with state spaces, linear attention or short convolutions, or do without it."""
