"""A model in the words of others: what comes out describes the same shape, and what cannot be said is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deepwide.answers.export import export
from deepwide.answers.models import find_model
from deepwide.architecture.ledger import lower
from deepwide.cli.export import command
from deepwide.errors import BadInput
from deepwide.formats.export import TARGETS
from deepwide.formats.export.huggingface import config_of
from deepwide.formats.export.torchtitan import llama_width
from deepwide.formats.huggingface import read_config

CATALOGUE = (
    "llama-2-7b llama-3-8b mistral-7b mixtral-8x7b qwen2.5-7b qwen3-8b gpt2 gpt2-xl bert-base bert-large t5-base t5-11b"
    " gemma-2-9b deepseek-v3 falcon-7b pythia-6.9b opt-13b bloom olmo-2-7b roberta-base electra-small mamba-2.8b"
    " phi-2"
).split()
LLAMA = "like=llama,layers=3,hidden=256,heads=4,kv_heads=2,ffn=640,vocab=1000,context=512"
WINDOWED = f"{LLAMA.replace('=llama', '=mistral')},window=64"


def config(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(export(text, to="huggingface").text)
    return fields


def arguments(text: str) -> dict[str, str]:
    """Megatron's arguments as a table; a flag has no value."""
    lines = export(text, to="megatron").text.replace("\\\n", "\n").splitlines()
    return {name: value for name, _, value in (line.strip().partition(" ") for line in lines)}


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_config_that_was_written_gives_the_same_ledger(name: str) -> None:
    found = find_model(name)
    task = "masked" if found.described().main.name == "encoder" else ""
    assert found.ledger == lower(read_config(config(name), task=task))
    assert dict(found.config or {}) == config(name)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_changed_model_of_the_catalogue_is_written_as_it_is_counted(name: str) -> None:
    found = find_model(f"{name},layers=6")
    assert found.ledger.weights == lower(read_config(config(f"{name},layers=6"))).weights


@pytest.mark.parametrize(
    ("text", "family"),
    [
        (LLAMA, "llama"),
        (f"{LLAMA},qk_norm", "qwen3"),
        (f"{LLAMA},biased,tied", "llama"),
        (WINDOWED, "mistral"),
        ("like=gpt2,layers=2,hidden=64,heads=4,vocab=100", "gpt2"),
        ("like=bert,layers=2,hidden=64,heads=4,vocab=100,untied", "bert"),
        ("like=t5,layers=2,hidden=64,heads=4,vocab=100", "t5"),
        ("like=gemma2,layers=4,hidden=256,heads=4", "gemma2"),
        ("like=mixtral,layers=4,hidden=256,heads=4,experts=4", "mixtral"),
        ("like=deepseek_v3,layers=4,hidden=256,heads=4", "deepseek_v3"),
    ],
)
def test_shorthand_becomes_a_config_of_its_family_or_of_the_one_it_is(text: str, family: str) -> None:
    assert family == config(text)["model_type"]
    assert find_model(text).ledger == lower(read_config(config(text)))


@pytest.mark.parametrize(
    "text",
    [LLAMA, f"{LLAMA},qk_norm", "gpt2", "bert-base", "t5-base", "llama-3-8b,layers=48", "qwen2.5-7b", "mistral-7b"],
)
def test_transformers_builds_as_many_parameters_from_the_config(text: str) -> None:
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    fields = config(text)
    settings = transformers.AutoConfig.for_model(**fields)
    with torch.device("meta"):
        model = getattr(transformers, fields["architectures"][0])(settings)
    counted = int(find_model(text).ledger.parameters())
    assert counted == sum(each.numel() for each in model.parameters())


def test_what_a_family_cannot_say_is_named() -> None:
    with pytest.raises(
        BadInput, match=r"cannot be written as a config.json of llama: decoder.attention.norm.gain would"
    ):
        export(f"{LLAMA},norm=layer", to="huggingface")
    with pytest.raises(BadInput, match="of llama: window would be None instead of 64"):
        config_of(find_model(WINDOWED).described(), {"model_type": "llama"})


def test_megatron_gets_the_whole_shape() -> None:
    told = arguments(LLAMA)
    assert told == {
        "--num-layers": "3",
        "--hidden-size": "256",
        "--ffn-hidden-size": "640",
        "--num-attention-heads": "4",
        "--vocab-size": "1000",
        "--make-vocab-size-divisible-by": "8",
        "--untie-embeddings-and-output-weights": "",
        "--max-position-embeddings": "512",
        "--group-query-attention": "",
        "--num-query-groups": "2",
        "--normalization": "RMSNorm",
        "--norm-epsilon": "1e-05",
        "--position-embedding-type": "rope",
        "--rotary-base": "10000",
        "--swiglu": "",
        "--disable-bias-linear": "",
    }


def test_megatron_gets_experts_biases_and_learned_positions() -> None:
    mixture = arguments("mixtral-8x7b")
    assert ("8", "2", "14336") == tuple(
        mixture[f"--{name}"] for name in ("num-experts", "moe-router-topk", "moe-ffn-hidden-size")
    )
    assert "--add-qkv-bias" in arguments("qwen2.5-7b")
    assert "--qk-layernorm" in arguments("qwen3-8b")
    gpt2 = arguments("gpt2")
    assert ("learned_absolute", "LayerNorm") == (gpt2["--position-embedding-type"], gpt2["--normalization"])
    assert not {"--disable-bias-linear", "--untie-embeddings-and-output-weights", "--swiglu"} & gpt2.keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bert-base", "anything but a lone decoder"),
        ("t5-base", "anything but a lone decoder"),
        ("deepseek-v3", "layers of several kinds"),
        ("like=deepseek_v2,layers=1,hidden=256,heads=4", "LatentAttention"),
        ("gpt-j-6b", "layers that are not attention and then a network"),
        ("bloom", "an embedding that is more than tables"),
        ("mamba-2.8b", "layers that are not attention and then a network"),
        (f"{LLAMA},no_residual", "norms other than one before each branch"),
        (f"{LLAMA},shared_qkv,kv_heads=4", "Attention with one_projection=True"),
        (f"{LLAMA},positions=alibi", "alibi positions"),
    ],
)
@pytest.mark.parametrize("target", [name for name in TARGETS if name != "huggingface"])
def test_what_an_engine_cannot_express_is_refused_in_one_line(text: str, said: str, target: str) -> None:
    with pytest.raises(BadInput, match=f"cannot express {said}") as error:
        export(text, to=target)
    assert "\n" not in str(error.value)


def test_torchtitan_gets_the_published_rule_of_llama_3() -> None:
    text = export("llama-3-8b", to="torchtitan").text
    assert "ffn_dim_multiplier=1.3" in text
    assert 14336 == llama_width(4096, 2048, 1.3)


@pytest.mark.parametrize("ffn", [640, 641, 1023, 64, 4096])
def test_torchtitan_builds_the_width_that_was_asked_for(ffn: int) -> None:
    text = export(LLAMA.replace("ffn=640", f"ffn={ffn}"), to="torchtitan").text
    told: dict[str, Any] = {}
    for line in text.splitlines():
        name, _, value = line.strip().rstrip(",").partition("=")
        told[name] = value
    multiplier = float(told["ffn_dim_multiplier"]) if "ffn_dim_multiplier" in told else None
    width = int(told["hidden_dim"]) if "hidden_dim" in told else llama_width(256, int(told["multiple_of"]), multiplier)
    assert ffn == width
    compile(text, "fragment", "exec")  # it is Python; nothing is run


def test_tied_tables_and_wide_heads_are_a_qwen_3_of_torchtitan() -> None:
    text = export(f"{LLAMA},tied,head_dim=80", to="torchtitan").text
    assert {"qwen3_args", "head_dim=80", "enable_weight_tying=True", "qk_norm=False"} <= set(
        text.replace(",", " ").replace("[", " ").split()
    )


@pytest.mark.parametrize("text", ["llama-3-8b", "qwen3-8b", "mixtral-8x7b", LLAMA, f"{LLAMA},biased", "qwen2.5-7b"])
def test_yaml_is_yaml_and_holds_the_shape(text: str) -> None:
    yaml = pytest.importorskip("yaml")
    fields = yaml.safe_load(export(text, to="litgpt").text)
    model = find_model(text).described()
    assert (int(model.main.layers), int(model.main.hidden), int(model.vocab)) == (
        fields["n_layer"],
        fields["n_embd"],
        fields["padded_vocab_size"],
    )
    if "norm_eps" in fields:
        assert isinstance(fields["norm_eps"], float)


def test_nanotron_gets_its_llama_or_its_qwen() -> None:
    yaml = pytest.importorskip("yaml")
    llama = yaml.safe_load(export(LLAMA, to="nanotron").text)["model"]["model_config"]
    assert (True, 640, 1e-5, 10_000.0) == tuple(
        llama[name] for name in ("is_llama_config", "intermediate_size", "rms_norm_eps", "rope_theta")
    )
    qwen = yaml.safe_load(export("qwen2.5-7b", to="nanotron").text)["model"]["model_config"]
    assert qwen["is_qwen2_config"]
    assert qwen["attention_bias"]


def test_a_name_with_quotes_stays_one_scalar(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    folder = tmp_path / 'a "b" \\ c'
    folder.mkdir()
    (folder / "config.json").write_text(export(LLAMA, to="huggingface").text)
    assert 3 == yaml.safe_load(export(str(folder), to="litgpt").text)["n_layer"]


def test_constants_that_the_config_states_go_along_and_others_are_noted(tmp_path: Path) -> None:
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    fields = {**config(LLAMA), "rope_theta": 5e5, "rope_scaling": {**rope, "original_max_position_embeddings": 8192}}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(fields))
    told = arguments(str(path))
    assert ("500000", "8") == (told["--rotary-base"], told["--rope-scaling-factor"])
    assert "rope_theta=500000.0" in export(str(path), to="torchtitan").text
    assert any("nothing here states" in note for note in export("llama-3-8b", to="megatron").notes)
    assert not any("nothing here states" in note for note in export(str(path), to="megatron").notes)


def test_an_unknown_target_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match="to='megatorn' is unknown; did you mean megatron"):
        export("gpt2", to="megatorn")


def test_a_folder_takes_the_config_and_a_full_one_is_left_alone(tmp_path: Path) -> None:
    answer = export("gpt2", to="huggingface", out=tmp_path / "new")
    assert ("config.json",) == answer.files
    assert answer.text == (tmp_path / "new" / "config.json").read_text()
    with pytest.raises(BadInput, match="is not empty; choose a new folder"):
        export("gpt2", to="huggingface", out=tmp_path / "new")
    assert ("gpt2.json",) == export("gpt2", to="huggingface", out=tmp_path / "gpt2.json").files
    assert ("run.sh",) == export("gpt2", to="megatron", out=tmp_path / "run.sh").files


def test_a_place_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written: No such file or directory"):
        export("gpt2", to="megatron", out=tmp_path / "none" / "run.sh")
    with pytest.raises(BadInput, match="cannot be written"):
        export("gpt2", to="huggingface", out=tmp_path / ("x" * 300))


def test_the_command_prints_the_text_alone_and_notes_beside_it() -> None:
    done = CliRunner().invoke(command, ["llama-3-8b", "--to", "megatron"])
    assert (0, export("llama-3-8b", to="megatron").text) == (done.exit_code, done.stdout)
    assert "nothing here states" in done.stderr


def test_the_command_answers_in_json() -> None:
    done = CliRunner().invoke(command, ["gpt2", "--to", "huggingface", "--json"])
    answer = json.loads(done.stdout)
    assert ("gpt2", "model", "") == (answer["model"], answer["source"], answer["out"])
    assert "gpt2" == json.loads(answer["text"])["model_type"]


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, Any]:
    """A run with a checkpoint, as a training leaves it, and its model."""
    pytest.importorskip("torch")
    from deepwide.lab import build
    from deepwide.lab.data.tokenizer_files import byte_tokenizer
    from deepwide.lab.store import create
    from deepwide.lab.training import Checkpoint
    from deepwide.lab.training.checkpoint import write
    from deepwide.lab.training.tensors import weights

    text = "like=llama,layers=2,hidden=32,heads=2,vocab=256,context=16"
    model = build(find_model(text).described(), seed=5)
    kept = create(tmp_path / "runs", "mine", {"model": text, "seed": 5})
    byte_tokenizer().save(kept.path)
    state = {"step": 3, "tokens": 48, "seconds": 1.0, "recipe_sha256": "0" * 64}
    write(kept.checkpoints, Checkpoint(**state, weights=weights(model), optimizer={}))
    return tmp_path / "runs", model


def test_a_run_becomes_a_folder_with_weights_config_and_tokeniser(run: tuple[Path, Any], tmp_path: Path) -> None:
    import torch

    from deepwide.lab.huggingface import read

    root, model = run
    answer = export("mine", to="huggingface", out=tmp_path / "out", root=root)
    assert ("run", ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")) == (
        answer.source,
        answer.files,
    )
    tokens = torch.tensor([[3, 1, 4, 1, 5]])
    with torch.no_grad():
        assert torch.equal(model(tokens), read(tmp_path / "out")(tokens))


def test_a_run_needs_a_place_for_its_weights_and_none_for_its_shape(run: tuple[Path, Any]) -> None:
    root, _ = run
    with pytest.raises(BadInput, match="run mine has weights, which need a place: add --out FOLDER"):
        export("mine", to="huggingface", root=root)
    answer = export("mine", to="megatron", root=root)
    assert answer.text.startswith("--num-layers 2 ")
    assert "its weights go along with --to huggingface" in answer.notes[0]


def test_a_misspelt_run_gets_a_suggestion(run: tuple[Path, Any]) -> None:
    with pytest.raises(BadInput, match=r"no model called 'mime'.*; among the runs; did you mean mine"):
        export("mime", to="megatron", root=run[0])


def test_a_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from deepwide.lab.store import create

    create(tmp_path, "fresh", {"model": LLAMA})
    with pytest.raises(BadInput, match="run fresh has no checkpoint yet"):
        export("fresh", to="huggingface", out=tmp_path / "out", root=tmp_path)
