"""Decoders with attention in every layer: dense ones, mixtures of experts, latent attention, several streams."""
