"""What a trained model writes: runs and folders found by name, text streamed, bad questions answered in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from deepwide.answers.generate import Generation, generate
from deepwide.answers.models import find_model
from deepwide.answers.trained import trained
from deepwide.cli.main import main
from deepwide.errors import BadInput
from deepwide.lab import build
from deepwide.lab.data import byte_tokenizer
from deepwide.lab.data.tokenizer_files import from_json, trained_bpe
from deepwide.lab.huggingface import write as write_folder
from deepwide.lab.store import create
from deepwide.lab.training import Checkpoint, write
from deepwide.lab.training.tensors import weights

SIZE = "layers=2,hidden=32,heads=4,ffn=48,vocab=256"
MODELS = {
    "code": f"like=llama,{SIZE},kv_heads=2",
    "short": f"like=gpt2,{SIZE},context=40",
    "gaps": f"like=bert,{SIZE},context=40",
    "turned": f"like=t5,{SIZE}",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs, one of each kind of model."""
    folder = tmp_path_factory.mktemp("runs")
    for name, text in MODELS.items():
        add_run(folder, name, text)
    return folder


def add_run(root: Path, name: str, text: str, steps: int = 7, **manifest: Any) -> Path:
    """A run whose weights are those that seed 1 starts from."""
    run = create(root, name, {"model": text, "seed": 0, "recipe": {"context": 32}, **manifest})
    byte_tokenizer().save(run.path)
    with run.lock() as run:
        if steps:
            kept = weights(build(find_model(text).described(), seed=1))
            write(run.checkpoints, checkpoint(steps, kept))
            run.finish()
    return run.path


def checkpoint(step: int, kept: dict[str, torch.Tensor]) -> Checkpoint:
    return Checkpoint(step=step, tokens=0, seconds=0.0, recipe_sha256="", weights=kept, optimizer={})


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], root: Path) -> Callable[..., Ran]:
    def ran(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as end:
            main(["generate", *arguments, "--root", str(root)])
        said = capsys.readouterr()
        return Ran(int(end.value.code or 0), said.out, said.err)

    return ran


def written(root: Path, name: str, prompt: str | None = None, **asked: Any) -> Generation:
    return generate(name, prompt, root=root, **{"tokens": 20, **asked})


def test_a_run_is_its_newest_checkpoint(root: Path) -> None:
    found = trained("code", root)
    expected = build(find_model(MODELS["code"]).described(), seed=1)
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), found.model.parameters(), strict=True))
    assert ("code", "bytes", 32, ()) == (found.name, found.tokenizer.name, found.context, found.notes)


def test_a_run_is_found_by_its_folder_too(root: Path) -> None:
    assert "code" == trained(str(root / "code") + "/").name


def test_a_run_that_goes_on_and_a_spoilt_checkpoint_are_told(tmp_path: Path) -> None:
    path = add_run(tmp_path, "cut", MODELS["code"])
    (path / "checkpoints" / "step-000009.safetensors").write_bytes(b"not whole")
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["finished"]
    (path / "manifest.json").write_text(json.dumps(manifest))
    passed_over, unfinished = trained("cut", tmp_path).notes
    assert "step-000009.safetensors is passed over" in passed_over
    assert "not finished: this is its model after 7 steps" in unfinished


def test_the_constants_of_a_run_are_those_of_its_manifest(tmp_path: Path) -> None:
    scaling = {"kind": "linear", "factor": 2.0}
    add_run(tmp_path, "own", MODELS["code"], numerics={"rotary_base": 5e5, "rotary_scaling": scaling})
    numerics = trained("own", tmp_path).model.numerics
    assert numerics.rotary_scaling is not None
    assert (5e5, 1e-5, 2.0) == (numerics.rotary_base, numerics.norm_eps, numerics.rotary_scaling.factor)


def test_a_folder_in_the_format_of_hugging_face_writes_what_its_run_does(root: Path, tmp_path: Path) -> None:
    run = trained("code", root)
    write_folder(run.model, tmp_path / "model", run.tokenizer)
    texts = [written(root, name, "def f", seed=3).text for name in ("code", str(tmp_path / "model"))]
    assert texts[0] == texts[1]


def test_text_is_given_as_it_comes_and_joins_to_the_answer(root: Path) -> None:
    pieces: list[tuple[str, bool]] = []
    answer = written(root, "code", "dé", temperature=2.0, write=lambda text, new: pieces.append((text, new)))
    assert ("dé", False) == pieces[0]
    assert answer.text == "".join(text for text, new in pieces if new)
    assert (3, 20, "tokens") == (answer.prompt_tokens, answer.tokens, answer.ended)


def test_the_same_seed_gives_the_same_text(root: Path) -> None:
    texts = [written(root, "code", "a", seed=seed).text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_speed_is_that_of_further_tokens(root: Path) -> None:
    answer = written(root, "code", "a")
    assert answer.token_s is not None
    assert answer.tokens_per_s == pytest.approx(1 / answer.token_s)
    assert (None, None) == ((one := written(root, "code", "a", tokens=1)).token_s, one.tokens_per_s)


def test_without_a_prompt_a_text_begins_after_the_end_of_another(root: Path) -> None:
    answer = written(root, "code")
    assert ("", 1, 20) == (answer.prompt, answer.prompt_tokens, answer.tokens)


def test_the_token_that_ends_a_text_is_not_part_of_it(root: Path) -> None:
    found = trained("code", root)
    with torch.no_grad():
        found.model.head.get_submodule("output").weight.zero_()  # type: ignore[operator, union-attr]
    answer = generate(found, "a", tokens=4000)  # every token is as likely
    assert "end" == answer.ended
    assert answer.tokens < 4000


def test_a_table_of_positions_ends_a_text_with_a_note(root: Path) -> None:
    answer = written(root, "short", "a" * 30, tokens=50)
    assert ("positions", 11) == (answer.ended, answer.tokens)
    assert "40 positions" in answer.notes[0]


def test_angles_go_on_beyond_what_was_learned_with_a_note(root: Path) -> None:
    answer = written(root, "code", "a" * 30)
    assert ("tokens", 20) == (answer.ended, answer.tokens)
    assert "32 tokens that the model was trained on" in answer.notes[0]


def test_an_encoder_decoder_makes_something_of_a_text(root: Path) -> None:
    answer = written(root, "turned", "abc", temperature=0)
    assert (3, 20) == (answer.prompt_tokens, answer.tokens)


def test_a_masked_model_fills_in_gaps(root: Path) -> None:
    pieces: list[tuple[str, bool]] = []
    answer = written(root, "gaps", "def f([MASK][MASK]):", write=lambda text, new: pieces.append((text, new)))
    assert (10, 2, "filled") == (answer.prompt_tokens, answer.tokens, answer.ended)
    assert [False] * 6 + [True] * 2 + [False] * 3 == [new for _, new in pieces]
    assert answer.text == "".join(text for text, _ in pieces)
    assert answer.text.startswith("def f(")
    assert answer.text.endswith("):")


@pytest.mark.parametrize(("name", "prompt"), [("code", "one two"), ("turned", "abab"), ("gaps", "to t[MASK]")])
def test_a_trace_tells_what_stays_and_what_moves(root: Path, name: str, prompt: str) -> None:
    seen = written(root, name, prompt, trace=True).trace
    assert seen is not None
    assert seen.weights_before == seen.weights_after
    assert (0.0, 0.0) == (seen.trace.levels[0].place.distance, seen.trace.levels[0].context.distance)
    assert all(part in seen.says for part in (f"row of {seen.text!r} is the same", "no weight", "after layer 2"))


def test_a_trace_looks_at_the_whole_text_where_the_prompt_has_no_token_twice(root: Path) -> None:
    assert written(root, "code", "ab", trace=True, tokens=400).trace is not None
    alone = written(root, "code", "ab", trace=True, tokens=1, temperature=0)
    assert (None, "nothing was traced") == (alone.trace, alone.notes[0][:18])


def test_the_answer_is_plain_values(root: Path) -> None:
    answer = written(root, "code", "one two", trace=True).to_dict()
    again = json.loads(json.dumps(answer))
    assert answer.keys() == again.keys()
    assert {"text", "tokens_per_s", "predicted_s", "seed", "trace"} <= answer.keys()
    assert {"places", "levels", "weights_before", "weights_after", "says", "text"} <= answer["trace"].keys()


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("code", {"prompt": ""}, "prompt is empty"),
        ("code", {"temperature": -1.0}, "temperature=-1.0"),
        ("code", {"top_p": 0.0}, "top_p=0.0"),
        ("code", {"top_p": 1.01}, "top_p=1.01"),
        ("code", {"top_k": 0}, "top_k=0"),
        ("code", {"tokens": 0}, "tokens=0"),
        ("code", {"tokens": 10**12}, "tokens=1000000000000 needs a cache of"),
        ("code", {"seed": -1}, "seed=-1"),
        ("short", {"prompt": "a" * 41}, "40 positions"),
        ("gaps", {"prompt": "no gap"}, r"put \[MASK\] into the prompt"),
        ("gaps", {}, r"put \[MASK\] into the prompt"),
        ("turned", {}, "give --prompt"),
        ("cods", {}, "did you mean code"),
        ("no/such/folder", {}, "no folder called no/such/folder"),
        ("", {}, "no run called ''"),
        ("a\0b", {}, "no run called"),
        ("x" * 5000, {}, "no run called"),
    ],
)
def test_a_bad_question_is_answered_in_one_line(root: Path, name: str, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        written(root, name, **asked)
    assert "\n" not in str(refused.value)


def test_a_folder_without_a_model_and_a_run_without_a_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no config.json"):
        trained(str(tmp_path))
    add_run(tmp_path, "young", MODELS["code"], steps=0)
    with pytest.raises(BadInput, match="young has no checkpoint yet"):
        trained("young", tmp_path)


def test_a_run_whose_model_has_changed_is_refused(tmp_path: Path) -> None:
    add_run(tmp_path, "other", MODELS["code"], architecture={"parameters": 5})
    with pytest.raises(BadInput, match=r"run other: .* not the 5 of the run"):
        trained("other", tmp_path)


def test_symbols_that_the_vocabulary_lacks_are_named(root: Path) -> None:
    table = {"model": {"type": "WordLevel", "vocab": {"<unk>": 0, "one": 1, "two": 2}, "unk_token": "<unk>"}}
    text = json.dumps({**table, "pre_tokenizer": {"type": "Whitespace"}, "added_tokens": []})
    found = trained("code", root)
    worded = type(found)(name="worded", model=found.model, tokenizer=from_json(text, name="words"))
    with pytest.raises(BadInput, match="prompt has 'thre', which is nothing that the vocabulary of worded can say"):
        generate(worded, "one three")
    with pytest.raises(BadInput, match="no token that begins a text"):
        generate(worded)
    assert set(generate(worded, "one two", tokens=9).text.split()) <= {"one", "two", "<unk>"}


def test_a_tokenizer_of_another_model_is_refused(root: Path) -> None:
    found = trained("code", root)
    larger = trained_bpe(["the cat and the hat sat on the mat " * 9], 270)
    with pytest.raises(BadInput, match=r"a vocabulary of 256: the tokenizer.json beside it is another model's"):
        generate(type(found)(name="code", model=found.model, tokenizer=larger), "the the")


def test_the_command_prints_the_prompt_the_text_and_the_speed(run: Callable[..., Ran]) -> None:
    said = run("code", "--prompt", "one two", "--tokens", "20", "--trace")
    assert (0, "") == (said.code, said.err)
    assert said.out.startswith("one two")
    assert all(part in said.out for part in ("20 tokens after 7", "tokens/s", "embedding row", "same as before"))


def test_the_command_writes_one_json_object(run: Callable[..., Ran]) -> None:
    said = run("code", "--prompt", "a", "--tokens", "5", "--temperature", "0", "--json")
    assert (0, "", 5) == (said.code, said.err, json.loads(said.out)["tokens"])


def test_the_command_answers_bad_input_with_one_line_and_exit_2(run: Callable[..., Ran]) -> None:
    said = run("cods")
    assert (2, "", 1) == (said.code, said.out, said.err.count("\n"))
    assert "did you mean code" in said.err


def test_a_text_cannot_steer_the_terminal(run: Callable[..., Ran]) -> None:
    out = run("code", "--prompt", "a\x1b[2Jb", "--tokens", "200", "--temperature", "9").out
    assert not {chr(i) for i in (*range(32), *range(127, 160))} & set(out) - {"\n", "\t"}


def test_an_interrupted_text_ends_with_a_line_and_exit_130(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, write: Callable[[str, bool], object], **__: object) -> None:
        write("half a wo", True)
        raise KeyboardInterrupt

    monkeypatch.setattr("deepwide.answers.generate.generate", stopped)
    said = run("code")
    assert (130, "half a wo\n") == (said.code, said.out)
    assert "Interrupted." in said.err


@pytest.mark.slow
def test_control_c_ends_a_text_cleanly(root: Path) -> None:
    program = "from deepwide.__main__ import main; main()"
    arguments = ["generate", "code", "--root", str(root), "--prompt", "abc", "--tokens", "100000"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert b"abc" == process.stdout.read(3)  # it has begun
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert 130 == process.returncode
    assert b"Interrupted." in errors
    assert b"Traceback" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("name", ["code", "short"])
def test_transformers_writes_the_same_tokens(root: Path, tmp_path: Path, name: str) -> None:
    from transformers import AutoModelForCausalLM

    from deepwide.lab.generation import generate as tokens_after
    from deepwide.lab.generation import left_padded

    found = trained(name, root)
    write_folder(found.model, tmp_path / name)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / name)
    prompt_BT, kept = left_padded([[5, 6, 7, 8], [9, 10]], pad=0)
    assert kept is not None
    expected = theirs.generate(
        prompt_BT, attention_mask=kept.long(), max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    ours = torch.stack(list(tokens_after(found.model, prompt_BT, tokens=12, temperature=0, kept=kept)), dim=1)
    assert expected[:, 4:].tolist() == ours.tolist()
