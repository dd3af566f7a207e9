"""What a written token should take on this machine, as far as it has been calibrated."""

from __future__ import annotations

from deepwide.answers.trained import Trained
from deepwide.architecture.ledger import lower
from deepwide.cost.inference.engine import driven
from deepwide.cost.inference.passes import Work, forward
from deepwide.facts.this_machine import calibrated


def predicted_token_s(found: Trained, read: int, written: int) -> float | None:
    """Seconds of the token in the middle of those written; None where the machine or the model was never calibrated.

    Only plain weights of one stack count: quantised ones run other kernels.
    """
    here = calibrated()
    if here is None or found.model.stack_names != ["decoder"] or written < 2:
        return None
    ledger = lower(found.model.architecture)
    if sum(p.numel() for p in found.model.parameters()) != int(ledger.parameters()):
        return None
    return float(forward(ledger, Work(past=read + written // 2), driven(here.accelerator), "decoder").total_s)
