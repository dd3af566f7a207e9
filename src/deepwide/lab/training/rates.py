"""The learning rate of each tensor from one base rate: what carries a rate from the shape it was found at to others.

Compared at one common rate, shapes are ranked by how well that rate suits them: at equal parameters 16 layers of 64
came out worst at 1e-3 and level with the best at 8e-3 (stdlib bytes, 0.6M tokens). So the base rate is that of a
reference shape, and each tensor's own follows from the width of its model.
"""

from __future__ import annotations

# The shape at which the base rates were found: the best of 1e-3, 2e-3, 4e-3, 8e-3 for AdamW, and of 4e-3, 8e-3,
# 1.6e-2 for Muon (4 layers, hidden 128, 0.8M parameters, 1M tokens of the standard library's source).
REFERENCE_HIDDEN = 128
REFERENCE_LAYERS = 4
BASE_RATES = {"muon": 8e-3, "adamw": 4e-3}

# Rate of a matrix ~ hidden ** -exponent. Maximal update parametrisation asks 1 of Adam (Yang et al. 2022,
# arXiv:2203.03466, table 3) and nanochat trains with 1/2. Muon's step, matched to AdamW's in every entry, grows as
# sqrt(hidden) as a map of vectors: 1/2 keeps it one size. The best rates found here (stdlib bytes, one seed) fall as
#   Muon    4.7e-2, 3.2e-2, 1.5e-2, 0.9e-2 at 32, 64, 128, 256 wide, 2 layers, 0.15M tokens: exponent 0.8;
#           1.2e-2, 1.0e-2 at 96, 128 wide, 1M tokens: 0.5
#   AdamW   1.5e-2, 5.3e-3, 2.7e-3 at 32, 64, 128 wide, 2 layers, 0.15M tokens: 1.2;
#           5.0e-3, 5.3e-3 at 128, 256 wide (4 layers, 1 layer), 0.6M tokens: 0
# Longer runs ask for less: width is told apart most at the start. So it is a rule for where to look, not where to stop.
WIDTH_EXPONENT = 0.5

# Rate of a matrix in a block ~ layers ** -exponent. Branches that start at 1/sqrt(branches) leave nothing to correct:
# 32 layers of 48 preferred 8e-3 to 4e-3. (Depth-muP, arXiv:2310.02244, asks 1/2 where branches are also multiplied
# by 1/sqrt(layers) at every step, which no published family does; CompleteP, arXiv:2505.01618, asks 0.)
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
