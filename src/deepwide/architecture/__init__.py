"""What a model is: its parts, and the ledger of weights, operations and caches they are lowered to."""
