"""How an answer is shown outside the command line: tables in HTML and rich, data frames, figures."""
