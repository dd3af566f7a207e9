"""The empirical neural tangent kernel of a model: how alike the gradients of its outputs on different texts are.

K[i, j] = <df_i/dw, df_j/dw>        Jacot et al. 2018, arXiv:1806.07572

An output f is a fixed random projection of the scores of the token after a text, so that a text gives a few numbers and
not a whole vocabulary of them. Each row of the Jacobian is one backward pass: at a handful of outputs that is several
times quicker than torch.func's vmap over all, and the rows need not all be in memory. Shapes: N outputs (texts times
projections), T tokens, V vocabulary, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from deepwide.errors import BadInput
from deepwide.lab.network import Transformer
from deepwide.lab.probe.watching import at_rest
from deepwide.units import size

ELEMENT_BYTES = 4


def projected(model: Transformer, tokens_BT: Tensor, projections_VK: Tensor) -> Tensor:
    """The outputs [B, K]: scores after the last token, centred, onto each of the projections."""
    scores_BV = model(tokens_BT)[:, -1]
    outputs_BK: Tensor = (scores_BV - scores_BV.mean(-1, keepdim=True)) @ projections_VK
    return outputs_BK


def most_rows(parameters: int, outputs: int, most_bytes: int) -> int:
    """How many rows of the Jacobian are held at once; BadInput where two do not fit."""
    rows = most_bytes // (ELEMENT_BYTES * parameters)
    if rows < 2:
        raise BadInput(
            f"two rows of the Jacobian of {parameters:,} parameters take {size(2 * ELEMENT_BYTES * parameters)}, more "
            f"than the {size(most_bytes)} that are allowed; take a smaller width, or raise memory"
        )
    return min(outputs, int(rows) - 1)


def kernel(model: Transformer, tokens_BT: Tensor, projections_VK: Tensor, *, most_bytes: int) -> Tensor:
    """The kernel [N, N] in fp64, N = B K; the Jacobian in blocks of as many rows as `most_bytes` holds."""
    own = [w for w in model.parameters() if w.requires_grad]
    outputs = tokens_BT.shape[0] * projections_VK.shape[1]
    block = most_rows(sum(w.numel() for w in own), outputs, most_bytes)
    K_NN = torch.zeros(outputs, outputs, dtype=torch.float64)
    for first in range(0, outputs, block):
        held = [_row(model, own, tokens_BT, projections_VK, i) for i in range(first, min(first + block, outputs))]
        for j in range(first, outputs):
            row = held[j - first] if j - first < len(held) else _row(model, own, tokens_BT, projections_VK, j)
            for i, other in enumerate(held, first):
                K_NN[i, j] = K_NN[j, i] = _product(other, row)
    return K_NN


def _row(model: Transformer, own: Sequence[Tensor], tokens_BT: Tensor, projections_VK: Tensor, i: int) -> list[Tensor]:
    """The gradient of output i, a tensor for each of the weights."""
    text, projection = divmod(i, projections_VK.shape[1])
    with at_rest(model):
        output = projected(model, tokens_BT[text : text + 1], projections_VK[:, projection : projection + 1])
    return list(torch.autograd.grad(output.sum(), own, materialize_grads=True))


def _product(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return sum(float(torch.dot(x.flatten(), y.flatten())) for x, y in zip(a, b, strict=True))
