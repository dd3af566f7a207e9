"""Decoders with ordinary attention: dense ones, mixtures of experts, latent attention."""
