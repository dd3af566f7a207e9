"""Catalogues of what is known from outside: every row names its source and how sure it is."""
