"""The command line: it parses what is typed, asks one question of `answers`, and prints the result."""
