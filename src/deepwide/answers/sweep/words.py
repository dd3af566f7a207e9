"""What a sweep's numbers mean, in sentences: which is best, what cannot be told apart, what is not to be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from deepwide import units
from deepwide.answers.sweep.law import LawBeside
from deepwide.answers.sweep.plan import Plan
from deepwide.answers.sweep.ranking import BEST, NOT_RANKED, TIED, WORSE, Ranked
from deepwide.answers.sweep.shapes import Shape
from deepwide.answers.sweep.statistics import Optimum, Spread

SMALL_SHARE = 0.01  # of the loss: less than that between the best and the worst, and shape hardly matters
BYTE = "nats a byte"


def axis_of(shapes: Sequence[Shape]) -> tuple[str, tuple[float, ...]]:
    """What the shapes differ in, and where each stands on it: layers, else the FFN ratio, else their own order."""
    layers = tuple(float(shape.layers) for shape in shapes)
    ratios = tuple(shape.ratio or 0.0 for shape in shapes)
    if len(set(layers)) == len(shapes):
        return "layers", layers
    if len(set(layers)) == 1 and all(ratios) and len(set(ratios)) == len(shapes):
        return "ratio", ratios
    return "", tuple(float(number) for number in range(1, len(shapes) + 1))


def place(axis: str) -> Callable[[Shape], str]:
    """How a shape is called in a sentence."""
    if axis == "layers":
        return lambda shape: f"{shape.layers} {'layer' if shape.layers == 1 else 'layers'}"
    return lambda shape: f"a ratio of {shape.ratio:.1f}" if axis == "ratio" else shape.name


def sentences(
    plan: Plan,
    rows: Sequence[Ranked],
    noise: Spread | None,
    lowest: Optimum | None,
    law: LawBeside | None,
    *,
    sure: bool,
) -> tuple[str, ...]:
    """All there is to say, the result first."""
    axis, _ = axis_of(plan.shapes)
    named = place(axis)
    said = [*_result(rows, noise, named), *_optimum(axis, lowest), *_in_time(rows, named)]
    return (*said, *_law(law), *_doubts(plan, rows, noise, named, sure=sure))


def _result(rows: Sequence[Ranked], noise: Spread | None, named: Callable[[Shape], str]) -> Iterator[str]:
    """Which is best, and which are as good for all that can be told."""
    best = next((row for row in rows if row.verdict == BEST), None)
    if best is None or best.mean is None or noise is None:
        return
    tied = [named(row.shape) for row in rows if row.verdict == TIED]
    yield (
        f"lowest at {named(best.shape)}: {best.mean:.4f} ± {noise.mean_reach:.4f} {BYTE}; "
        + (f"not separable from it: {', '.join(tied)}" if tied else "every other shape is measurably worse")
    )
    worse = [f"{named(r.shape)} by {r.difference:.4f}" for r in rows if r.verdict == WORSE and r.difference is not None]
    if worse:
        yield f"worse, each ± {noise.difference_reach:.4f}: {', '.join(worse)}"
    whole = [row.mean for row in rows if row.mean is not None]
    span = max(whole) - min(whole)
    if not worse:
        yield f"no shape is measurably worse than the best: within this noise, shape does not matter here ({span:.4f})"
    elif span < SMALL_SHARE * best.mean:
        yield f"shape hardly matters here: from the best to the worst {span:.4f}, {span / best.mean:.1%} of the loss"
    else:
        yield f"from the best to the worst {span:.4f} {BYTE}, {span / best.mean:.1%} of the loss"


def _optimum(axis: str, lowest: Optimum | None) -> Iterator[str]:
    if lowest is None:
        return
    of = "layers" if axis == "layers" else "FFN over hidden"
    reach = f"95% of draws between {lowest.low:.2g} and {lowest.high:.2g}"
    if lowest.at is None:
        yield f"a parabola over log2 of {of} has no lowest point inside the sweep ({reach})"
    else:
        off = f"it misses the means by {lowest.misses:.4f}"
        yield f"a parabola over log2 of {of} is lowest at {lowest.at:.2g} ({reach}; {off})"


def _in_time(rows: Sequence[Ranked], named: Callable[[Shape], str]) -> Iterator[str]:
    """The ranking at equal processor time."""
    best = next((row for row in rows if row.equal_time_verdict == BEST), None)
    if best is None or best.equal_time_loss is None:
        return
    tied = [named(row.shape) for row in rows if row.equal_time_verdict == TIED]
    yield (
        f"after equal processor time lowest at {named(best.shape)}: {best.equal_time_loss:.4f}"
        + (f"; not separable: {', '.join(tied)}" if tied else "; every other one that got far enough is worse")
    )
    short = [named(row.shape) for row in rows if row.mean is not None and row.equal_time_loss is None]
    if short:
        yield f"in that time not as far as a short run: {', '.join(short)}"


def _law(law: LawBeside | None) -> Iterator[str]:
    if law is None:
        return
    beyond = f"; the sweep lies {law.outside:.0f} factors of e outside what it was fitted on" if law.outside else ""
    yield f"the law, moved by one constant ({law.offset:+.3f}), is off by {law.off:.4f} nats on average{beyond}"
    if law.rank:
        agrees = "agrees" if law.rank.low > 0 else "disagrees" if law.rank.high < 0 else "neither agrees nor disagrees"
        reach = f"{law.rank.low:.2f} to {law.rank.high:.2f}"
        yield f"its order {agrees} with the measured one: Spearman's rank correlation {law.rank.rho:.2f} ({reach})"
    if law.fit:
        left = f", on shapes left out {law.fit.left_out:.4f}" if law.fit.left_out is not None else ""
        order = f"; {law.fit.order:.0%} of pairs in the right order" if law.fit.order is not None else ""
        yield f"fitted to the {law.fit.rows} runs ({law.fit.fitted}) it is off by {law.fit.after:.4f}{left}{order}"
    elif law.fit_refused:
        yield f"the law was {law.fit_refused}"


def _doubts(
    plan: Plan, rows: Sequence[Ranked], noise: Spread | None, named: Callable[[Shape], str], *, sure: bool
) -> Iterator[str]:
    """What the ranking rests on, and where it does not hold."""
    loose = [named(row.shape) for row in rows if row.bracket and not row.bracket.bracketed]
    if loose and plan.bracket_tokens:
        yield f"the learning rate was not bracketed for {', '.join(loose)}: the ranking is not sure"
    elif loose:
        yield "no learning rate was bracketed: the ranking is that of shapes at one base rate, and is not sure"
    if noise is None and any(row.mean is not None for row in rows):
        yield "with one seed, or one shape, nothing is known of the noise: there is no ranking"
    broken = [named(row.shape) for row in rows if row.verdict == NOT_RANKED and row.problems]
    if broken:
        yield f"not ranked, because a run diverged or failed: {', '.join(broken)}"
    if sure:
        short, long = units.count(plan.bracket_tokens), units.count(plan.tokens)
        yield f"every rate was bracketed by runs of {short} tokens; the best for {long} may be a little lower"
