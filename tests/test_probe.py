"""`deepwide probe`: what it answers, says, draws and keeps, and what it refuses in one line."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deepwide.answers.figures.probe_gradients import gradient_flow
from deepwide.answers.models import find_model
from deepwide.answers.probe import gradients, ntk, teaching
from deepwide.answers.probe.attention import probe_attention
from deepwide.answers.probe.gradients import Flow, Gradients, Moment, probe_gradients
from deepwide.answers.probe.memories import probe_memories
from deepwide.answers.probe.ntk import line, probe_ntk
from deepwide.answers.probe.rank import Rank, Way, probe_rank
from deepwide.cli.main import main
from deepwide.errors import BadInput
from deepwide.lab import build
from deepwide.lab.data import byte_tokenizer
from deepwide.lab.probe import LayerGradient, Likeness
from deepwide.lab.store import create
from deepwide.lab.training import Checkpoint, write
from deepwide.lab.training.tensors import weights
from deepwide.lab.training.worker import Alone

TINY = "like=llama,layers=2,hidden=16,heads=2,ffn=24"
QUICK: dict[str, Any] = {"batch": 2, "context": 16}


@pytest.fixture(autouse=True)
def few_outputs(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Kernels of four numbers where nothing is said of their slope."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(ntk, "TEXTS", 4)
        monkeypatch.setattr(ntk, "OUTPUTS", 1)


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(20):
        lines = "".join(f"{number}: line {line} is like the rest\n" for line in range(30))
        (folder / f"{number}.txt").write_text(lines)
    return str(folder)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, texts: str) -> Path:
    """A folder with the run of a decoder and that of an encoder."""
    folder = tmp_path_factory.mktemp("runs")
    add_run(folder, "talker", f"{TINY},vocab=256", texts)
    add_run(folder, "gaps", "like=bert,layers=2,hidden=16,heads=2,ffn=24,vocab=256,context=32", texts, "masked")
    return folder


def add_run(root: Path, name: str, text: str, texts: str, objective: str = "next") -> None:
    """A run after 4 steps whose weights are those that seed 1 starts from."""
    corpus, recipe = {"asked": texts, "tokenizer": "bytes"}, {"context": 16, "objective": objective}
    run = create(root, name, {"model": text, "seed": 0, "recipe": recipe, "corpus": corpus})
    byte_tokenizer().save(run.path)
    kept = weights(build(find_model(text).described(), seed=1))
    with run.lock() as run:
        write(run.checkpoints, Checkpoint(step=4, tokens=0, seconds=0.0, recipe_sha256="", weights=kept, optimizer={}))
        run.finish()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], root: Path) -> Callable[..., Ran]:
    def ran(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as end:
            main(["probe", *arguments, "--root", str(root)])
        said = capsys.readouterr()
        return Ran(int(end.value.code or 0), said.out, said.err)

    return ran


COMMANDS = {
    "gradients": f"gradients {TINY} --steps 1 --batch 2 --context 16",
    "rank": f"rank {TINY} --batch 2 --context 16",
    "attention": f"attention {TINY} --steps 1 --batch 2 --context 16 --text abcabc",
    "memories": "memories talker --windows 8",
    "ntk": f"ntk {TINY} --widths 8,16 --seeds 2 --fall 0.02",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_json_is_one_object_that_says_what_the_picture_shows(run: Any, texts: str, name: str) -> None:
    data = [] if name == "memories" else ["--data", texts]
    said = run(*COMMANDS[name].split(), *data, "--json")
    assert (0, True) == (said.code, json.loads(said.out)["says"].endswith("."))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_terminal_shows_a_table_and_the_page_a_picture(run: Any, texts: str, tmp_path: Path, name: str) -> None:
    data = [] if name == "memories" else ["--data", texts]
    page = tmp_path / "page.html"
    said = run(*COMMANDS[name].split(), *data, "--html", str(page))
    assert (0, True, True) == (said.code, "──" in said.out, f"written to {page}" in said.out)
    assert f"figure-{name}" in page.read_text()


def test_all_ways_to_build_a_model_stand_beside_each_other(texts: str, root: Path) -> None:
    answer = probe_gradients(TINY, steps=2, data=texts, root=root, **QUICK)
    ways = [("pre", True), ("pre", False), ("post", True), ("post", False), ("none", True), ("none", False)]
    assert ways == [(flow.norm, flow.residual) for flow in answer.flows]
    assert all([0, 2] == [moment.step for moment in flow.moments] for flow in answer.flows)


def test_a_way_that_diverges_is_marked_in_the_table_and_in_the_picture(
    run: Any, texts: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(model: Any, one: Any, *rest: Any) -> None:
        if "no_norm" in one.model.name:
            raise BadInput("loss=nan at step 2: the training diverged")
        teaching.taught(model, one, *rest)

    monkeypatch.setattr(gradients, "taught", diverges)
    answer = probe_gradients(TINY, steps=2, data=texts, root=root, **QUICK)
    lines = {line.name: line.legendgroup for line in gradient_flow(answer).data}
    assert {"no norm (diverged)", "no norm, no residual (diverged)"} == {n for n in lines if "diverged" in n}
    said = run(*COMMANDS["gradients"].split(), "--data", texts)
    assert (0, 2) == (said.code, said.out.count("diverged"))


def test_a_run_is_shown_as_it_began_and_as_it_is(root: Path) -> None:
    answer = probe_gradients("talker", root=root)
    assert [0, 4] == [moment.step for moment in answer.flows[0].moments]
    assert [[0]] * 5 == [[moment.step for moment in flow.moments] for flow in answer.flows[1:]]


def test_the_same_question_has_the_same_answer(texts: str, root: Path, tmp_path: Path) -> None:
    first, again = (probe_gradients(TINY, steps=2, data=texts, root=at, **QUICK) for at in (root, tmp_path))
    assert first.to_dict() == again.to_dict()


def test_what_was_trained_is_not_trained_again(texts: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = probe_attention(TINY, steps=3, text="abcabc", data=texts, root=root, **QUICK)
    monkeypatch.setattr(Alone, "step", None)
    assert first == probe_attention(TINY, steps=3, text="abcabc", data=texts, root=root, **QUICK)


def test_a_probe_that_was_stopped_goes_on(
    texts: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"steps": 6, "text": "abcabc", "data": texts, **QUICK}
    monkeypatch.setattr(teaching, "EVERY_S", 0.0)
    said: list[str] = []

    def stop_at_3(text: str) -> None:
        if "step 3 of 6" in text:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        probe_attention(TINY, root=tmp_path, watch=stop_at_3, **asked)
    answer = probe_attention(TINY, root=tmp_path, watch=said.append, **asked)
    assert "step 4 of 6" in said[0]
    assert probe_attention(TINY, root=root, **asked) == answer


def test_a_width_that_is_known_is_not_worked_out_again(texts: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"seeds": 1, "fall": 0.03, "data": texts, "root": root}
    first = probe_ntk(TINY, widths=(8,), **asked)
    made: list[int] = []
    work = ntk._drift
    monkeypatch.setattr(ntk, "_drift", lambda one, width, *rest: made.append(width) or work(one, width, *rest))
    both = probe_ntk(TINY, widths=(8, 16), **asked)
    assert ([16], first.drifts[0]) == (made, both.drifts[0])


def test_a_kept_part_that_was_spoilt_is_made_anew(tmp_path: Path) -> None:
    teaching.keep_part(tmp_path, {"a": 1}, "part", {"x": 2})
    assert {"x": 2} == teaching.kept_part(tmp_path, {"a": 1}, "part")
    next((tmp_path / teaching.KEPT).iterdir()).write_text('{"part": {"x"')
    assert teaching.kept_part(tmp_path, {"a": 1}, "part") is None
    teaching.keep_part(tmp_path, {"a": 1}, "part", {"x": 3})
    assert {"x": 3} == teaching.kept_part(tmp_path, {"a": 1}, "part")


def test_memories_are_told_by_layer_beside_chance(root: Path) -> None:
    answer = probe_memories("talker", root=root, windows=8, shown=2)
    assert [(1, 24), (2, 24)] == [(layer.layer, layer.keys) for layer in answer.layers]
    assert [1, 1, 2, 2] == [each.layer for each in answer.clearest]
    assert all(0 <= layer.chance <= 1 and 0 <= layer.agreement <= 1 for layer in answer.layers)
    assert (2,) == tuple(x.layer for x in probe_memories("talker", root=root, windows=8, layer=2).layers)


def test_shared_and_separate_matrices_stand_beside_each_other(texts: str, root: Path) -> None:
    answer = probe_attention(TINY, steps=1, text="abcabc", data=texts, root=root, **QUICK)
    assert [(False, 0), (False, 1), (True, 0), (True, 1)] == [(look.shared, look.step) for look in answer.looks]
    assert pytest.approx(1) == answer.looks[2].mean("symmetry")
    assert ("a", "b", "c", "a", "b", "c") == answer.tokens


@pytest.mark.slow
def test_drift_falls_with_width(texts: str, tmp_path: Path) -> None:
    model = "like=llama,layers=1,hidden=64,heads=4"
    answer = probe_ntk(model, widths=(32, 64, 128), seeds=2, data=texts, root=tmp_path)
    assert answer.line is not None
    assert answer.line.high < 0
    assert "falls with width" in answer.says


def test_drift_is_less_at_four_times_the_width(texts: str, root: Path) -> None:
    answer = probe_ntk(TINY, widths=(16, 64), seeds=1, fall=0.1, data=texts, root=root)
    narrow, wide = answer.drifts
    assert wide.drift < 0.7 * narrow.drift
    assert all(0.1 <= d.loss[0] - d.loss[1] < 0.15 for d in answer.drifts)


def test_a_line_knows_the_power_it_was_made_with() -> None:
    found = line([16, 32, 64, 128], [16**-0.5, 32**-0.5, 64**-0.5, 128**-0.5])
    assert found is not None
    assert pytest.approx((-0.5, -0.5, -0.5), abs=1e-6) == (found.slope, found.low, found.high)
    assert line([16, 32], [1.0, 0.5]) is None


def flow(first: float, last: float, residual: bool = True) -> Flow:
    layers = tuple(LayerGradient(layer=i, stream=w, weights=w) for i, w in ((1, first), (2, last)))
    return Flow(model="m", norm="pre", residual=residual, moments=(Moment(step=0, loss=5.0, layers=layers),))


@pytest.mark.parametrize(
    ("bare", "words"),
    [
        (flow(5e3, 1, False), "keep it 3.6 orders of magnitude more even"),
        (flow(0, 1, False), "only the residual connections carry it through"),
        (flow(1, 1, False), "make little difference"),
    ],
)
def test_the_sentence_on_gradients_follows_the_numbers(bare: Flow, words: str) -> None:
    assert words in Gradients(model="m", layers=2, parameters=1, flows=(flow(1.3, 1), bare)).says


def way(alone: bool, residual: bool, *distances: float) -> Way:
    levels = (Likeness(layer=i, cosine=0.5, effective_rank=3.0, distance=d) for i, d in enumerate(distances))
    return Way(attention_only=alone, residual=residual, layers=tuple(levels))


@pytest.mark.parametrize(
    ("alone", "words"),
    [
        ((1.0, 0.5, 0.25, 0.125, 0.06, 0.03, 0.015, 0.005), "exponentially, not doubly so"),
        ((0.8, 0.5, 0.1, 1e-3, 1e-9), "ever faster, as a double exponential does"),
        ((1.0, 0.9, 0.8), "stays 0.8 from rank one"),
    ],
)
def test_the_sentence_on_rank_follows_the_numbers(alone: tuple[float, ...], words: str) -> None:
    ways = (way(True, False, *alone), way(False, True, 1.0, 0.9))
    assert words in Rank(model="m", trained=False, tokens=8, ways=ways).says


def test_a_drift_that_rises_is_said_to_rise(texts: str, root: Path) -> None:
    answer = probe_ntk(TINY, widths=(8, 16), seeds=1, fall=0.03, data=texts, root=root)
    drifts = tuple(replace(answer.drifts[0], width=w, seed=s, drift=0.01 * w) for w in (8, 16, 32) for s in (0, 1))
    rising = replace(answer, drifts=drifts, line=line([d.width for d in drifts], [d.drift for d in drifts]))
    assert "RISES with width" in rising.says


REFUSED = {
    f"memories {TINY}": "is not trained and remembers nothing; give a run",
    "memories gaps": "gaps does not tell next tokens, which memories are read by",
    "memories talker --layer 3": "layer=3 must be from 1 to 2, the layers of talker",
    "memories talker --triggers 0": "triggers=0 must be from 1 to 100,000",
    "gradients talker --steps 5": "steps=5: talker is trained already",
    f"gradients {TINY} --steps 200000": "steps=200000 must be from 0 to 100,000",
    "attention talker --text " + "a" * 40: "text has 40 tokens; talker can be shown 2 to 16",
    "attention talker --text a": "text has 1 tokens; talker can be shown 2 to 16",
    f"rank {TINY} --context 1": "context=1: tokens can be alike only where there are 2 or more",
    "rank like=llama,layers=99,hidden=65536": "half of this machine's",
    "ntk talker": "talker is a run of one width; give its MODEL",
    "rank like=mamba,layers=2,hidden=16": "cannot be built",
    f"ntk {TINY} --widths 8,12": "widths: 12 is not a multiple of head_dim=8",
    f"ntk {TINY} --widths 8,x": "widths='x'",
    f"ntk {TINY} --seeds 0": "seeds=0 must be from 1 to 100",
    f"ntk {TINY} --fall 9": "fall=9.0 must be above 0 and at most 3 nats",
    f"ntk {TINY} --widths 8 --memory 1000": "two rows of the Jacobian of",
    "ntk like=bert,layers=2,hidden=16,heads=2,ffn=24": "does not tell next tokens, which its kernel is taken of",
    f"rank {TINY} --html /nowhere/page.html": "there is no folder /nowhere",
    "rank talker --tokenizer bytes": "talker is trained and reads by its own tokeniser; leave it out",
    "gradient x": "no command called 'gradient'; did you mean gradients?",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_bad_input_is_refused_in_one_line(run: Any, texts: str, arguments: str) -> None:
    data = ["--data", texts] if arguments.split()[1].startswith("like=") else []
    said = run(*arguments.split(), *data)
    assert (2, "", 1) == (said.code, said.out, len(said.err.strip().splitlines()))
    assert REFUSED[arguments] in said.err


def test_a_model_without_skips_is_told_as_one(texts: str, root: Path) -> None:
    answer = probe_rank(f"{TINY},no_residual", data=texts, root=root, **QUICK)
    assert [False, False] == [way.residual for way in answer.ways]


@pytest.mark.parametrize(
    "model", ["like=t5,layers=1,hidden=16,heads=2", "like=bert,layers=1,hidden=16,heads=2,context=32"]
)
def test_an_encoder_shows_where_it_looks(texts: str, root: Path, model: str) -> None:
    assert "entropy" in probe_attention(model, text="abcabc", steps=0, data=texts, root=root, **QUICK).says


def test_rank_of_a_model_without_a_text_to_read_is_refused(root: Path) -> None:
    with pytest.raises(BadInput, match=r"^data="):
        probe_rank(TINY, data="/nowhere/at/all", root=root)
