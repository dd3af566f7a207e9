"""Figures: one function each, from plain values to a plotly figure; the page, the report and a notebook share them."""
