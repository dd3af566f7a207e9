"""Encoder-decoders and their halves."""
