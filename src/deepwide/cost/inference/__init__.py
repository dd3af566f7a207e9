"""How long inference takes: kernels, passes, and the steady state of a server."""
