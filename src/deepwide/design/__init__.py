"""Which shape to choose: the space of shapes, the search, the comparison."""
