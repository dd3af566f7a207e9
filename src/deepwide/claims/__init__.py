"""The claims book: what the five documents state, each statement computed anew and judged by its numbers."""
