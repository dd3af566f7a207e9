"""What speculation brings: a small model drafts, the large one verifies the whole draft in one pass.

Drafts of d tokens, each right with probability a, yield (1 - a^(d+1)) / (1 - a) tokens a pass on average, the large
model's own among them (Leviathan et al. 2023, arXiv:2211.17192, equation 1).
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.architecture.ledger import Ledger
from deepwide.cost.inference.engine import Engine
from deepwide.cost.inference.passes import Work, forward
from deepwide.cost.inference.serving import Requests, token_passes


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """Tokens that a verifying pass yields, the time of one of them, and how much faster that is than without."""

    acceptance: float
    draft: int
    draft_cost_share: float
    tokens_per_pass: float
    decode_s_per_token: float
    speed_up: float


def tokens_per_pass(acceptance: float, draft: int) -> float:
    """Tokens that one verifying pass yields on average.

    >>> tokens_per_pass(0.5, 1)
    1.5
    """
    return float(draft + 1) if acceptance == 1 else (1 - acceptance ** (draft + 1)) / (1 - acceptance)


def speculated(
    ledger: Ledger,
    asked: Requests,
    on: Engine,
    *,
    acceptance: float,
    draft: int,
    draft_cost_share: float,
    stream: str = "decoder",
) -> Speculation:
    """Decoding with drafts: the draft model takes `draft_cost_share` of a decode step for each token it proposes."""
    step_s = float(token_passes(ledger, asked, on, stream).total_s)
    past = asked.input + asked.output // 2
    verifying = Work(tokens=draft + 1, batch=asked.batch, past=past, tp=asked.tp, pp=asked.pp, logits=draft + 1)
    pass_s = float(forward(ledger, verifying, on, stream).total_s) + draft * draft_cost_share * step_s
    token_s = pass_s / tokens_per_pass(acceptance, draft)
    return Speculation(
        acceptance=acceptance,
        draft=draft,
        draft_cost_share=draft_cost_share,
        tokens_per_pass=tokens_per_pass(acceptance, draft),
        decode_s_per_token=token_s,
        speed_up=step_s / token_s,
    )
