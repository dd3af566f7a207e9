"""What a masked model writes: not what follows, but what belongs where a token is hidden.

Shapes: T tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from deepwide.errors import BadInput
from deepwide.lab.network import Transformer


@torch.inference_mode()
def filled(model: Transformer, tokens_T: Tensor, *, mask: int, never: Collection[int] = ()) -> list[tuple[int, int]]:
    """Place and token of each gap, in the order they were filled: the surest first, seen by those after it.

    One pass for each gap: mask-predict (Ghazvininejad et al. 2019, arXiv:1904.09324), one token a pass. The mask and
    the tokens of `never` are not filled in.
    """
    if model.stack_names != ["encoder"]:
        raise BadInput(f"{model.architecture.name} is no masked model: it writes what follows a prompt")
    model.eval()
    tokens_T = tokens_T.clone()
    written = []
    for _ in range(int((tokens_T == mask).sum())):
        scores_TV = model(tokens_T[None])[0]
        scores_TV[:, sorted({mask, *never})] = -math.inf
        shares_T, best_T = scores_TV.softmax(dim=-1).max(dim=-1)
        place = int(shares_T.masked_fill(tokens_T != mask, -1.0).argmax())
        tokens_T[place] = best_T[place]
        written.append((place, int(best_T[place])))
    return written
