"""Figures hold the data that they were given, and say so in words that cannot be markup."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import pytest

from deepwide.answers.figures import theme
from deepwide.answers.figures.aspects import Aspect, BestAspect, aspect_ratios
from deepwide.answers.figures.aspects_known import aspect_of, best_aspects, catalogue_aspects
from deepwide.answers.figures.depth import loss_and_latency
from deepwide.answers.figures.front import pareto_front
from deepwide.answers.figures.kernels import model_kernels, roof_lines
from deepwide.answers.figures.parameters import ModelParts, model_parts, parameter_parts
from deepwide.answers.figures.points import ShapePoint, described, known_points, row_point
from deepwide.answers.figures.roofline import Kernel, RoofLine, roofline
from deepwide.answers.models import find_model
from deepwide.answers.shape import shape_of
from deepwide.architecture.flops import Pass, forward_flops
from deepwide.cost.inference.engine import driven
from deepwide.cost.inference.passes import Work, forward
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator
from deepwide.quality.shape import DIFFERENCE_SD, shape_loss

HOSTILE = "</script><img src=x onerror=alert(1)><b>bold"


def point(layers: int, loss: float, decode_s: float, model: str = "") -> ShapePoint:
    return ShapePoint(
        model=model or f"m{layers}",
        layers=layers,
        hidden=4096,
        parameters=8 * 10**9,
        loss=loss,
        decode_s=decode_s,
        memory_bytes=layers * 1e9,
    )


POINTS = (point(64, 2.4, 0.008), point(16, 2.5, 0.005), point(32, 2.42, 0.006))


def test_depth_shows_loss_and_decode_time_from_few_layers_to_many():
    figure = loss_and_latency(POINTS)
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [(16, 32, 64)] * 2 == [trace.x for trace in lines]
    assert (2.5, 2.42, 2.4) == lines[0].y
    assert (5.0, 6.0, 8.0) == lines[1].y


def test_bands_contain_their_lines():
    traces = loss_and_latency(POINTS).data
    for low, high, line in (traces[:3], traces[3:6]):
        assert all(below < value < above for below, value, above in zip(low.y, line.y, high.y, strict=True))


def test_the_recommended_shape_is_marked_in_both_panels():
    stars = [t for t in loss_and_latency(POINTS, "m32").data if t.marker.symbol == "star"]
    assert [((32,), (2.42,)), ((32,), (6.0,))] == [(star.x, star.y) for star in stars]


def test_without_a_recommended_shape_nothing_is_marked():
    assert not [t for t in loss_and_latency(POINTS, "another").data if t.marker.symbol == "star"]


def test_the_front_shows_every_point_its_memory_and_the_trained_models_by_name():
    trained = ShapePoint(model="x", name="olmo", layers=1, hidden=1, parameters=1, loss=2.6, decode_s=0.004)
    figure = pareto_front(POINTS, POINTS[2], [trained], tie=0.02)
    front, published, best = figure.data
    assert (5.0, 6.0, 8.0) == front.x
    assert (2.5, 2.42, 2.4) == front.y
    assert (16e9, 32e9, 64e9) == front.marker.color
    assert ("olmo", (4.0,), (2.6,)) == (published.name, published.x, published.y)
    assert ((6.0,), (2.42,)) == (best.x, best.y)


def test_the_tie_is_shaded_from_the_lowest_loss():
    shape = pareto_front(POINTS, tie=0.02).layout.shapes[0]
    assert (2.4, 2.42) == (shape.y0, pytest.approx(shape.y1))


def test_parameters_by_part_add_up_to_the_model():
    model = find_model("gpt2")
    parts = model_parts(model)
    assert model.ledger.parameters() == parts.total
    figure = parameter_parts([parts])
    assert dict(parts.parts) == {part: sum(t.x) for (part, _), t in zip(parts.parts, figure.data, strict=True)}


def test_models_side_by_side_share_the_colours_of_their_parts():
    figure = parameter_parts([ModelParts(model="a", parts=(("ffn", 3),)), ModelParts(model="b", parts=(("norm", 1),))])
    assert {"FFN": (3, 0), "norm": (0, 1)} == {trace.name: trace.x for trace in figure.data}


@pytest.mark.parametrize("name", ["llama-3-8b", "mixtral-8x7b", "falcon-mamba-7b", "gpt2"])
def test_kernels_add_up_to_the_work_and_the_time_of_the_whole_pass(name: str):
    model, engine = find_model(name), driven(accelerator("h100"))
    kernels = model_kernels(model, engine, prompt=512, context=1024)
    decode = [k for k in kernels if k.phase == "decode"]
    assert forward_flops(model.ledger, Pass(tokens=1, past=1024)) == pytest.approx(sum(k.work_flops for k in decode))
    whole = forward(model.ledger, Work(past=1024), engine).total_s
    assert 0.9 * whole < sum(k.time_s for k in decode) <= whole


def test_reached_roofs_are_not_above_the_data_sheet():
    device = accelerator("h100")
    stated, reached = roof_lines(device, driven(device))
    assert (989e12, device.bandwidth_bytes_per_s) == (stated.flops_per_s, stated.bytes_per_s)
    assert reached.flops_per_s <= stated.flops_per_s
    assert reached.bytes_per_s <= stated.bytes_per_s


def test_the_roofline_puts_kernels_at_their_intensity_and_rate():
    kernels = (
        Kernel(name="FFN", phase="prefill", work_flops=8e12, moved_bytes=2e9, time_s=0.01),
        Kernel(name="FFN", phase="decode", work_flops=4e9, moved_bytes=4e9, time_s=0.002),
    )
    figure = roofline(kernels, [RoofLine(name="data sheet", flops_per_s=1e15, bytes_per_s=2e12)])
    roof, *rest = figure.data
    assert (500.0, 1e15) == (roof.x[1], roof.y[1])
    points = {trace.name: (trace.x, trace.y) for trace in rest if trace.x != (None,)}
    assert {"prefill": ((4000.0,), (8e14,)), "decode": ((1.0,), (2e12,))} == points


def test_aspects_show_each_model_in_its_era_and_the_design_as_a_star():
    models = [
        Aspect(model=f"m{year}", parameters=10**9, layers=10, hidden=640, year=year) for year in (2019, 2023, 2026)
    ]
    figure = aspect_ratios(models, [Aspect(model="mine", parameters=10**9, layers=20, hidden=500)])
    assert {"to 2021": 64.0, "2022, 2023": 64.0, "2025 on": 64.0, "this design": 25.0} == {
        trace.name: trace.y[0] for trace in figure.data
    }


def test_the_best_ratio_is_drawn_full_only_where_the_law_was_fitted():
    best = [
        BestAspect(parameters=1e9, best=20.0, low=10.0, high=40.0, inside=True),
        BestAspect(parameters=1e11, best=30.0, low=10.0, high=90.0, inside=False),
    ]
    low, high, everywhere, inside = aspect_ratios([], [], best).data
    assert ((10.0, 10.0), (40.0, 90.0)) == (low.y, high.y)
    assert ((20.0, 30.0), (20.0, None)) == (everywhere.y, inside.y)


def test_the_best_ratio_is_inside_its_band_and_no_ratio_nearby_is_better():
    for found in best_aspects(32_000, smallest=1e9, largest=1e10):
        assert found.low <= found.best <= found.high
        hidden = math.cbrt(found.parameters / 12 * found.best)
        tokens = 20 * found.parameters
        at_best = shape_loss(found.parameters, 0, hidden / found.best, hidden, tokens).loss
        wider = shape_loss(found.parameters, 0, hidden / found.best / 8, hidden * 2, tokens).loss
        assert at_best < wider + DIFFERENCE_SD


def test_the_catalogue_holds_dense_decoders_with_their_year():
    shapes = {shape.model: shape for shape in catalogue_aspects()}
    assert 128 == shapes["llama-3-8b"].aspect
    assert 2024 == shapes["llama-3-8b"].year
    assert not {"mixtral-8x7b", "bert-base-uncased", "t5-base"} & shapes.keys()


def test_a_shape_of_the_catalogue_is_the_one_that_is_counted():
    model = find_model("gpt2")
    assert (124439808, 12, 768) == (lambda s: (s.parameters, s.layers, s.hidden))(aspect_of(model))


def test_bands_are_as_wide_as_a_difference_has_to_be():
    low, high, _ = loss_and_latency(POINTS).data[3:6]
    assert (4.5, 5.5) == pytest.approx((low.y[0], high.y[0]), rel=0.01)
    low, high, _ = loss_and_latency(POINTS).data[:3]
    assert (2.48, 2.52) == pytest.approx((low.y[0], high.y[0]))


def test_without_a_time_the_loss_stands_alone():
    figure = loss_and_latency([replace(each, decode_s=None) for each in POINTS], "m32")
    assert "Loss against depth" == figure.layout.title.text
    assert ["loss"] == [trace.name for trace in figure.data if trace.mode == "lines+markers"]


def test_a_row_of_a_design_becomes_a_point_with_its_intervals():
    row = {"model": "m", "layers": 32, "hidden": 4096, "parameters": 7, "loss": 2.0, "decode_s": 0.01}
    row |= {
        "shape_effect": 0.01,
        "outside": 1.0,
        "low": 1.9,
        "high": 2.1,
        "weight_bytes": 14,
        "kv_cache_bytes_per_token": 2,
    }
    made = row_point(row, 100, spread=1.25)
    assert (1.9, 2.1, 0.008, 0.0125, 214) == (
        made.loss_low,
        made.loss_high,
        made.decode_low_s,
        made.decode_high_s,
        made.memory_bytes,
    )


def test_a_shape_without_a_predicted_loss_is_no_point():
    shapes = {name: shape_of(find_model(name), None, tokens=10**11, context=1024) for name in ("gpt2", "t5-base")}
    assert ["gpt2"] == [each.name for each in known_points(shapes, 1024, shapes["gpt2"])]


def test_names_are_shown_literally():
    assert "<img" not in described(point(1, 1.0, 1.0, HOSTILE))
    assert "&lt;/script&gt;" in described(point(1, 1.0, 1.0, HOSTILE))
    figure = parameter_parts([ModelParts(model=HOSTILE, parts=(("ffn", 1),))])
    assert "<img" not in figure.to_json()


def test_long_names_are_shortened():
    assert "aaaa…" == theme.label("a" * 9, 5)


def test_logarithmic_axes_have_round_ticks_inside_their_range():
    for values in ((4, 160), (1, 2), (1e6, 1e12), (5, 5), (0.5, 4000)):
        axis = theme.log_axis("x", values, str)
        assert 2 <= len(axis["tickvals"]) <= 14
        assert all(axis["range"][0] <= math.log10(tick) <= axis["range"][1] for tick in axis["tickvals"])


def test_without_plotly_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    for draw in (loss_and_latency, pareto_front, parameter_parts, aspect_ratios):
        with pytest.raises(BadInput, match=r"^figures need plotly: pip install 'deepwide\[plots\]'$"):
            draw(())
