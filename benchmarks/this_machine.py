"""Depth at equal parameters on this machine: a token and a training step, measured and predicted by `--on this`.

    deepwide calibrate
    python benchmarks/this_machine.py [--bodies 0.8M:16,5M:32] [--figure this_machine.html] [--json]

None of these shapes is among those that `deepwide calibrate` is fitted on. The baseline is one constant: the best
single number of seconds per parameter, fitted on these very shapes.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from dataclasses import asdict, dataclass
from typing import Any

from deepwide.units import parse_count

LAYERS = (1, 2, 4, 8, 16, 32, 64)
BODIES = "0.8M:16,5M:32"  # body parameters, and the width of a head
COLOURS = ("#0b7285", "#c2255c", "#5f3dc4", "#e8590c")
CONTEXTS = (16, 1000)
BATCH, SEQUENCE = 16, 128
BUDGET_S, READ_TIMES = 300.0, 14  # for all; in each round, tokens are written so many times over


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A time of one shape, measured and predicted."""

    what: str
    body: float
    layers: int
    parameters: int
    measured_s: float
    predicted_s: float
    low_s: float
    high_s: float
    baseline_s: float = 0.0

    @property
    def error(self) -> float:
        """As a share of what was measured."""
        return self.predicted_s / self.measured_s - 1


def shape(body: float, layers: int, head_dim: int) -> str:
    """A Llama of so many parameters between embedding and head: hidden from 12 h^2 a layer, ffn solves the rest."""
    each = body / layers
    hidden = max(head_dim, round(math.sqrt(each / 12) / head_dim) * head_dim)
    ffn = max(8, round((each - 4 * hidden**2) / (3 * hidden)))
    return f"like=llama,layers={layers},hidden={hidden},heads={hidden // head_dim},ffn={ffn},vocab=256,context=2048"


def measured(models: list[str], threads: int, kernels: dict[str, Any]) -> list[dict[str, float]]:
    """Seconds of a token after each context, and of a step, by model."""
    from deepwide.answers.models import find_model
    from deepwide.lab.device import usual_device
    from deepwide.lab.kernels import Kernels
    from deepwide.lab.measure import Reading, Stepping, in_turn, woven
    from deepwide.lab.network import build

    built = [build(find_model(model).described(), device=usual_device()) for model in models]
    reading = {(i, context): Reading(a, context, threads) for i, a in enumerate(built) for context in CONTEXTS}
    stepping = [Stepping(a, BATCH, SEQUENCE, Kernels(**kernels)) for a in built]
    took = in_turn(woven([*reading.values()], stepping, READ_TIMES), BUDGET_S)
    return [
        {f"token after {c}": took[reading[i, c]]["decode"].seconds for c in CONTEXTS}
        | {"step": took[step]["step"].seconds}
        for i, step in enumerate(stepping)
    ]


def predicted(model: str) -> dict[str, tuple[float, float, float]]:
    """The same times as `--on this` has them, with their intervals."""
    from deepwide.answers.inference import predict_inference
    from deepwide.answers.training import predict_training
    from deepwide.lab.measure import WRITTEN

    found = {}
    for context in CONTEXTS:
        told = predict_inference(model, on="this", input=context, output=WRITTEN)
        key = "decode_s_per_token"
        found[f"token after {context}"] = (told.decode_s_per_token, told.low[key], told.high[key])
    plan = {"sequence": SEQUENCE, "global_batch": BATCH, "plan": f"micro_batch={BATCH}"}
    step = predict_training(model, on="this", devices=1, **plan)
    found["step"] = (step.step_s, float(step.low["step_s"] or 0), float(step.high["step_s"] or 0))
    return found


def rows(bodies: dict[int, int]) -> list[Row]:
    """Every shape, with the baseline; `bodies` are parameters, each with the width of a head."""
    from deepwide.answers.models import find_model
    from deepwide.facts.this_machine import machine

    here = machine("this")
    threads = int(here.kernels["threads"]) * int(here.kernels["lanes"])
    shapes = [(body, n, shape(body, n, head)) for body, head in bodies.items() for n in LAYERS]
    times = measured([model for _, _, model in shapes], threads, dict(here.kernels))
    found = []
    for (body, layers, model), took in zip(shapes, times, strict=True):
        count, told = int(find_model(model).ledger.parameters()), predicted(model)
        for what, seconds in took.items():
            middle, low, high = told[what]
            found.append(
                Row(
                    what=what,
                    body=body,
                    layers=layers,
                    parameters=count,
                    measured_s=seconds,
                    predicted_s=middle,
                    low_s=low,
                    high_s=high,
                )
            )
    return [with_baseline(row, found) for row in found]


def with_baseline(row: Row, all_rows: list[Row]) -> Row:
    """The row with the time that one constant per parameter gives."""
    alike = [r for r in all_rows if r.what == row.what]
    constant = math.exp(statistics.fmean(math.log(r.measured_s / r.parameters) for r in alike))
    return Row(**{**asdict(row), "baseline_s": constant * row.parameters})


def printed(found: list[Row]) -> None:
    """The table, and the errors by what was timed."""
    print(f"{'time of':<18}{'body':>7}{'layers':>8}{'measured':>12}{'predicted':>12}{'error':>8}{'baseline':>10}")
    for r in found:
        base = f"{r.baseline_s / r.measured_s - 1:+.0%}"
        ms = f"{r.measured_s * 1e3:>9.2f} ms{r.predicted_s * 1e3:>9.2f} ms"
        print(f"{r.what:<18}{r.body / 1e6:>6.1f}M{r.layers:>8}{ms}{r.error:>+8.1%}{base:>10}")
    for what in dict.fromkeys(r.what for r in found):
        own = [r for r in found if r.what == what]
        errors, bases = [abs(r.error) for r in own], [abs(r.baseline_s / r.measured_s - 1) for r in own]
        inside = sum(r.low_s <= r.measured_s <= r.high_s for r in own) / len(own)
        within = sum(e <= 0.15 for e in errors)
        print(
            f"{what}: median {statistics.median(errors):.1%}, worst {max(errors):.1%}, within 15%: {within} of "
            f"{len(own)}, in the interval {inside:.0%}; one constant: median {statistics.median(bases):.0%}, worst "
            f"{max(bases):.0%}"
        )


def figure(found: list[Row]) -> Any:
    """Times over depth: points measured, lines predicted."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    colours = dict(zip(dict.fromkeys(r.body for r in found), COLOURS, strict=False))
    whats = list(dict.fromkeys(r.what for r in found))
    drawn = make_subplots(rows=1, cols=len(whats), subplot_titles=[f"{what}, ms" for what in whats])
    for column, what in enumerate(whats, 1):
        for body, colour in colours.items():
            own = [r for r in found if r.what == what and r.body == body]
            layers, name = [r.layers for r in own], f"{body / 1e6:g}M body parameters"
            once = {"legendgroup": name, "showlegend": column == 1}
            line = [r.predicted_s * 1e3 for r in own]
            dots = [r.measured_s * 1e3 for r in own]
            drawn.add_scatter(
                x=layers, y=line, mode="lines", line_color=colour, name=f"{name}, predicted", row=1, col=column, **once
            )
            marker = {"color": colour, "size": 9}
            drawn.add_scatter(
                x=layers, y=dots, mode="markers", marker=marker, name="measured", row=1, col=column, **once
            )
    drawn.update_xaxes(type="log", tickvals=list(LAYERS), title="layers")
    drawn.update_yaxes(type="log", tickvals=[digit * 10**n for n in range(-1, 5) for digit in (1, 2, 5)])
    drawn.update_layout(
        template="plotly_white", width=1150, height=400, margin={"t": 40}, legend={"orientation": "h", "y": -0.2}
    )
    return go.Figure(drawn)


def main() -> None:
    """Measures, predicts, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--bodies", default=BODIES, help="parameters between embedding and head, and the width of a head"
    )
    parser.add_argument("--figure", metavar="FILE.html")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    bodies = [pair.split(":") for pair in asked.bodies.split(",")]
    found = rows({parse_count(body): int(head) for body, head in bodies})
    if asked.figure:
        figure(found).write_html(asked.figure)
    if asked.json:
        json.dump([{**asdict(r), "error": r.error} for r in found], sys.stdout)
        return
    printed(found)


if __name__ == "__main__":
    main()
