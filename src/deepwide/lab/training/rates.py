"""The learning rate of each tensor from one base rate: what carries a rate from the shape it was found at to others.

Compared at one common rate, shapes are ranked by how well that rate suits them: at equal parameters 16 layers of 64
came out worst at 1e-3 and level with the best at 8e-3 (stdlib bytes, 0.6M tokens). So the base rate is that of a
reference shape, and each tensor's own follows from the width of its model.
"""

from __future__ import annotations

# The shape at which the base rates were found: 4 layers, hidden 128, 0.8M parameters, 1M tokens of the standard
# library's source. AdamW ends at 1.463, 1.454, 1.573 nats with 2e-3, 4e-3, 8e-3; Muon was best with 8e-3 of half, once
# and twice that.
REFERENCE_HIDDEN = 128
REFERENCE_LAYERS = 4
BASE_RATES = {"muon": 8e-3, "adamw": 4e-3}

# Rate of a matrix ~ hidden ** -exponent. Maximal update parametrisation asks 1 of Adam (Yang et al. 2022,
# arXiv:2203.03466, table 3) and nanochat trains with 1/2. Muon's step, matched to AdamW's in every entry, grows as
# sqrt(hidden) as a map of vectors: 1/2 keeps it one size. With 1/2 the best base rate of AdamW (0.15M tokens of stdlib
# bytes, a parabola through three rates) shows no trend: 4.2e-3, 3.9e-3, 4.4e-3, 5.0e-3, 3.5e-3 at 176, 128, 96, 64, 48
# wide, 2 to 32 layers of 0.8M parameters in all; after 1M tokens both 4 layers of 128 and 16 of 64 prefer 4e-3 to half
# and to twice of it. It is a rule for where to look, not where to stop.
WIDTH_EXPONENT = 0.5

# Rate of a matrix in a block ~ layers ** -exponent. Branches that start at 1/sqrt(branches) leave nothing to correct,
# as the rates above show. (Depth-muP, arXiv:2310.02244, asks 1/2 where branches are also multiplied by 1/sqrt(layers)
# at every step, which no published family does; CompleteP, arXiv:2505.01618, asks 0.)
DEPTH_EXPONENT = 0.0

ROLES = ("matrix", "head", "embedding", "vector")


def role(name: str, dimensions: int) -> str:
    """What a parameter is to the rule, from its name in the model.

    matrix       of a block, experts' stacks included
    head         the output matrix where it has a tensor of its own
    embedding    tables that are looked up, a head tied to one included
    vector       gains and biases, whatever their dimensions

    >>> role("decoder.blocks.0.attention.query.weight", 2)
    'matrix'
    """
    if dimensions < 2 or name.endswith("bias"):
        return "vector"
    if ".blocks." in f".{name}":
        return "matrix"
    return "head" if name.startswith("head.") else "embedding"


def rate(part: str, *, hidden: int, layers: int, base: float) -> float:
    """The learning rate of a tensor before the schedule.

    matrix               base (hidden_ref / hidden)^a (layers_ref / layers)^b
    head                 base (hidden_ref / hidden)^a
    embedding, vector    base: each token or feature has its own, however many stand beside it

    >>> rate("matrix", hidden=512, layers=4, base=4e-3)
    0.002
    """
    width = (REFERENCE_HIDDEN / hidden) ** WIDTH_EXPONENT if part in ("matrix", "head") else 1.0
    depth = (REFERENCE_LAYERS / layers) ** DEPTH_EXPONENT if part == "matrix" else 1.0
    return float(base * width * depth)
