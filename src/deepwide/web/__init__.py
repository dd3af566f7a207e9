"""The page and its HTTP API: the public questions, asked and answered over the network."""
