"""Predictions corrected by measurements: the one room that knows both."""
