"""The command line: exit codes, streams, JSON, and the first screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deepwide.cli.main import COMMANDS, cli, main


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def ran(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        said = capsys.readouterr()
        return Ran(int(end.value.code or 0), said.out, said.err)

    return ran


def test_help_lists_every_command_and_a_first_thing_to_try(run: Any) -> None:
    said = run("--help")
    assert 0 == said.code
    assert all(name in said.out for name in COMMANDS)
    assert "deepwide count llama-3-8b --explain" in said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_exists_and_says_what_it_does(run: Any, name: str) -> None:
    said = run(name, "--help")
    assert 0 == said.code
    assert "Usage: deepwide" in said.out


def test_no_command_is_missing_from_the_list() -> None:
    files = {path.stem for path in Path(cli.callback.__code__.co_filename).parent.glob("*.py")}
    files = {name for name in files if not name.startswith(("predict_", "calibrate_", "probe_"))}  # groups of their own
    assert set(COMMANDS) == files - {"__init__", "main", "output", "options", "report", "tables", "curves", "training"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("count", "llama-3-8b"),
        ("count", "llama-3-8b", "--explain", "--by", "role"),
        ("memory", "llama-2-13b", "--on", "rtx-3060-12gb", "--weights", "int4"),
        ("memory", "llama-3-8b", "--on", "b200", "--train", "--recompute", "full", "--context", "1024"),
        ("compare", "llama-3-8b", "llama-3-8b,layers=64,hidden=2880", "--on", "h100"),
        ("design", "--parameters", "1B", "--on", "h100"),
        ("models", "llama"),
        ("accelerators", "h100"),
    ],
)
def test_json_is_one_object_and_nothing_else(run: Any, arguments: tuple[str, ...]) -> None:
    plain, machine = run(*arguments), run(*arguments, "--json")
    assert (0, 0, "", "") == (plain.code, machine.code, plain.err, machine.err)
    assert plain.out.strip()
    assert isinstance(json.loads(machine.out), dict)


def test_a_model_that_does_not_fit_is_answered_with_no_and_exit_1(run: Any) -> None:
    said = run("memory", "llama-3-70b", "--on", "h100")
    assert 1 == said.code
    assert "would fit" in said.out


def test_a_design_that_cannot_be_is_answered_with_no_and_exit_1(run: Any) -> None:
    said = run("design", "--parameters", "100B", "--on", "rtx-3060-12gb", "--serve-devices", "1", "--json")
    answer = json.loads(said.out)
    assert (1, 1, None, []) == (said.code, len(said.err.strip().splitlines()), answer["recommended"], answer["front"])
    assert "memory_bytes" == answer["missed"][0]["limit"]
    assert answer["missed"][0]["times"] > 1
    assert answer["nearest"]["model"] in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cuont", "gpt2"), "did you mean count"),
        (("count",), "MODEL"),
        (("count", "lama-3-8b"), "did you mean"),
        (("count", "gpt2", "--by", "colour"), "colour"),
        (("count", "gpt2", "--nonsense"), "nonsense"),
        (("memory", "gpt2"), "--on"),
        (("memory", "gpt2", "--on", "h10"), "h10"),
        (("memory", "gpt2", "--on", "h100", "--weights", "int5"), "int8 or int4"),
        (("memory", "gpt2", "--on", "h100", "--context", "x"), "context"),
        (("memory", "gpt2", "--on", "h100", "--batch", "0"), "batch=0 must lie between"),
        (("memory", "gpt2", "--on", "h100", "--train", "--weights", "int4"), "--lora"),
        (("compare", "gpt2"), "two models or more"),
        (("compare", "gpt2", "bert-base", "--tokens=-1"), "tokens=-1 must lie between"),
        (("memory", "gpt2", "--on", "h100", "--lora", "9" * 400), "lora=a number of more than 40 digits"),
        (("memory", "gpt2", "--on", "h100", "--attention", "flesh"), "did you mean flash"),
        (("design", "--parameters", "1B", "--on", "h100", "--vocab", "0"), "vocab=0 must lie between"),
        (("design", "--parameters", "7X", "--on", "h100"), "parameters"),
        (("design", "--on", "h100"), "give a budget"),
        (("design", "--parameters", "1B"), "--on"),
        (("design", "--parameters", "1B", "--on", "h100", "--layers", "8-4"), "layers=8-4 is empty"),
        (("design", "--parameters", "1B", "--on", "h100", "--layers", "-4"), "layers"),
        (("design", "--parameters", "1B", "--on", "h100", "--hidden", "1-127"), "the ranges leave no shape"),
        (("design", "--parameters", "1B", "--on", "h100", "--kv-heads", "4096"), "heads that kv_heads divide"),
        (("design", "--parameters", "1B", "--on", "h100", "--kv-heads", "4,x"), "kv_heads='x'"),
        (("design", "--parameters", "1B", "--on", "h100", "--experts", "8"), "write experts/active"),
        (("design", "--parameters", "1B", "--on", "h100", "--experts", "8/9"), "active experts=9"),
        (("design", "--parameters", "1B", "--on", "h100", "--ffn-ratios", "nan"), "ffn_ratios='nan' must be a finite"),
        (("design", "--parameters", "1B", "--on", "h100", "--ffn-ratios", "1000"), "ffn_ratios=1000"),
        (("design", "--parameters", "1B", "--on", "h100", "--decode-ms", "-1"), "decode_s=-0.001"),
        (("design", "--parameters", "1B", "--on", "h100", "--decode-ms", "1e-300"), "decode_s="),
        (("design", "--parameters", "1B", "--on", "h100", "--rows", "0"), "rows"),
        (("design", "--parameters", "1B", "--on", "h100", "--tolerance", "nan"), "tolerance=nan"),
        (("design", "--parameters", "1B", "--on", "h100", "--workers", "0"), "workers"),
        (("design", "--parameters", "1B", "--on", "h100", "--engine", "rya"), "did you mean ray"),
        (("design", "--parameters", "1B", "--on", "h100", "--tokens", "1" + "0" * 30), "tokens=1"),
        (("design", "--parameters", "1B", "--on", "h100", "--like", "nonsense"), "no model called 'nonsense'"),
        (("design", "--parameters", "1B", "--on", "h100", "--like", "bert-base"), "a design is a decoder"),
        (("design", "--parameters", "1B", "--on", "h100", "--like", "t5"), "a design is a decoder"),
        (("design", "--parameters", "1B", "--on", "h100", "--like", "$(reboot)"), "$(reboot)"),
        (("design", "--days", "10", "--on", "h100"), "--devices"),
        (("design", "--flops", "inf", "--on", "h100"), "flops='inf' must be a finite number"),
        (("design", "--flops", "0", "--on", "h100"), "flops=0"),
    ],
)
def test_bad_input_gets_one_line_on_stderr_and_exit_2(run: Any, arguments: tuple[str, ...], said: str) -> None:
    answer = run(*arguments)
    assert (2, "", 1) == (answer.code, answer.out, len(answer.err.strip().splitlines()))
    assert said in answer.err


def test_a_folder_with_a_config_is_a_model(run: Any, tmp_path: Path) -> None:
    config = {"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 2, "vocab_size": 100, "n_positions": 32}
    (tmp_path / "config.json").write_text(json.dumps(config))
    total = json.loads(run("count", str(tmp_path), "--json").out)["parameters"]["total"]
    # wte, wpe, two layers of two norms, attention and network with biases, and the final norm.
    layer = 4 * 64 + 3 * 64 * 64 + 3 * 64 + 64 * 64 + 64 + 8 * 64 * 64 + 4 * 64 + 64
    assert 100 * 64 + 32 * 64 + 2 * layer + 2 * 64 == total


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, '{"model_type": "llama", "hidden_size": "a\\nb"}', "\xff"]
)
def test_a_config_that_is_none_gets_one_line(run: Any, tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("latin-1"))
    said = run("count", str(path))
    assert (2, 1) == (said.code, len(said.err.strip().splitlines()))


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("deepwide cou", "count"),
        ("deepwide count llama-3-8", "llama-3-8b"),
        ("deepwide memory gpt2 --on rtx-309", "rtx-3090"),
    ],
)
def test_a_shell_completes_commands_models_and_accelerators(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, completed: str
) -> None:
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    monkeypatch.setenv("_DEEPWIDE_COMPLETE", "bash_complete")
    with pytest.raises(SystemExit):
        main([])
    assert f"plain,{completed}" in capsys.readouterr().out.splitlines()


def test_a_message_of_bearable_length_whatever_was_typed(run: Any) -> None:
    said = run("count", "a" * 5000)
    assert 2 == said.code
    assert len(said.err) < 700
    assert "`deepwide models` lists them" in said.err


@pytest.mark.parametrize("arguments", [("models",), ("count", "gpt2"), ("compare", "gpt2", "bert-base")])
def test_a_reader_that_leaves_is_no_error(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        ran = subprocess.run([sys.executable, "-m", "deepwide", *arguments], stdout=gone, stderr=subprocess.PIPE)
    assert (0, b"") == (ran.returncode, ran.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is needed to fill up")
def test_a_full_disk_gets_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([sys.executable, "-m", "deepwide", "count", "gpt2"], stdout=full, stderr=subprocess.PIPE)
    assert (2, b"Error: the answer cannot be written: No space left on device\n") == (ran.returncode, ran.stderr)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_without_unicode_gets_its_answer(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    arguments = ("compare", "gpt2", "gpt2-medium", "--on", "h100")
    ran = subprocess.run([sys.executable, "-m", "deepwide", *arguments], env=environment, capture_output=True)
    assert (0, b"") == (ran.returncode, ran.stderr)
    assert b"124,439,808" in ran.stdout
