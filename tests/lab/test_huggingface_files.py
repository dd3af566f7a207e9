"""Folders of models come from anybody: what is wrong with one is said in one line, before a weight is read."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.lab import build
from deepwide.lab.data.tokenizer_files import byte_tokenizer
from deepwide.lab.huggingface import read, write, writing
from deepwide.lab.network import Transformer
from deepwide.lab.network.positions import stretched

SHAPE = "layers=2,hidden=32,heads=4,vocab=256"
LLAMA = f"like=llama,{SHAPE},kv_heads=2"
TOKENS = torch.tensor([[1, 5, 200, 7]])


def model_of(text: str = LLAMA, **options: Any) -> Transformer:
    return build(find_model(text).described(), seed=1, **options)


def saved(folder: Path, text: str = LLAMA) -> Path:
    write(model_of(text), folder)
    return folder


def with_tensors(folder: Path, **changes: Tensor | None) -> Path:
    """The same folder with tensors changed, added, or (None) taken out."""
    path = folder / "model.safetensors"
    kept = {**load_file(path), **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    save_file({name: tensor for name, tensor in kept.items() if tensor is not None}, path)
    return folder


def with_config(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def logits(model: Transformer) -> Tensor:
    with torch.no_grad():
        return model(TOKENS)


def refusal(folder: Path) -> str:
    with pytest.raises(BadInput) as error:
        read(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_was_written_is_read_bit_for_bit(tmp_path: Path) -> None:
    ours = model_of()
    write(ours, tmp_path / "model")
    assert torch.equal(logits(ours), logits(read(tmp_path / "model")))


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    folder = with_tensors(saved(tmp_path / "m"), model__layers__1__mlp__up_proj__weight=None)
    assert "no tensor called model.layers.1.mlp.up_proj.weight" in refusal(folder)


def test_a_tensor_that_nothing_would_use_is_named(tmp_path: Path) -> None:
    folder = with_tensors(saved(tmp_path / "m"), model__layers__1__mlp__extra__weight=torch.ones(2))
    assert "model.layers.1.mlp.extra.weight would be left over" in refusal(folder)


def test_a_tensor_of_another_shape_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    folder = with_tensors(saved(tmp_path / "m"), model__norm__weight=torch.ones(31))
    assert "model.norm.weight is [31], and [32] by config.json" in refusal(folder)


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    folder = with_tensors(saved(tmp_path / "m"), model__norm__weight=torch.ones(32, dtype=torch.int8))
    assert "model.norm.weight is of type I8" in refusal(folder)


def test_half_precision_is_read_as_single(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    path = folder / "model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    model = read(folder)
    assert {torch.float32} == {each.dtype for each in model.parameters()}
    assert 0.1 > (logits(model) - logits(model_of())).abs().max()


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "model.safetensors: tensor" in refusal(folder)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin is a pickle, which can run code, and is not opened; save it as" in refusal(folder)


def test_an_empty_folder_and_none_say_what_is_missing(tmp_path: Path) -> None:
    assert "config.json cannot be read (No such file or directory)" in refusal(tmp_path)
    folder = saved(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    assert "holds no model.safetensors" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "lama"}, "weights of 'lama' cannot be read or written; did you mean llama?"),
        ({"model_type": "roberta"}, "weights of 'roberta' cannot be read or written"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "rope_type='yarn' cannot be computed"),
        ({"rope_scaling": {"rope_type": "linear"}}, "rope factor=None must be a positive number"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 1e300}}, "rope factor=1e+300 must be"),
        ({"rope_scaling": "linear"}, "rope_scaling='linear' must be a table"),
        ({"rms_norm_eps": "small"}, "epsilon='small' must be a positive number"),
        ({"quantization_config": {"bits": 4}}, "quantised weights cannot be read"),
        ({"num_hidden_layers": 90_000}, "config.json describes 2,494,096,416 parameters, and the files hold 71,840"),
        ({"hidden_size": 10**11}, "parameters, and the files hold"),
        ({"head_dim": 0}, "head_dim=0 must be at least 1"),
        ({"hidden_act": "mish"}, "activation='mish' cannot be built"),
    ],
)
def test_a_config_that_cannot_be_computed_is_refused(changes: Mapping[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refusal(with_config(saved(tmp_path / "m"), **changes))


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(BadInput, match="is not empty; choose a new folder"):
        write(model_of(), tmp_path)
    assert ["note.txt"] == [each.name for each in tmp_path.iterdir()]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert ["config.json", "model.safetensors"] == sorted(each.name for each in saved(tmp_path / "m").iterdir())


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing, "write_tensors", full)
    with pytest.raises(BadInput, match="cannot be written: No space left on device; make room"):
        write(model_of(), tmp_path / "m")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change", ["norm=layer", "positions=alibi", "norms=post", "no_residual", "shared_qkv,kv_heads=4"]
)
def test_a_model_that_no_format_can_say_is_refused(change: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be written as a config\.json of llama"):
        write(model_of(f"like=llama,{SHAPE},{change}"), tmp_path / "m")
    assert [] == list(tmp_path.iterdir())


def test_shards_are_read(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    path = folder / "model.safetensors"
    names, tensors = [], load_file(path)
    for number, half in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2])):
        names.append((f"model-{number}.safetensors", half))
        save_file({name: tensors[name] for name in half}, folder / names[-1][0])
    table = {name: file for file, half in names for name in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
    path.unlink()
    assert torch.equal(logits(model_of()), logits(read(folder)))
    (folder / "model-1.safetensors").unlink()
    assert "shard 'model-1.safetensors' is not beside it" in refusal(folder)


def test_gpt2_files_without_prefix_and_with_masks_are_read(tmp_path: Path) -> None:
    text = f"like=gpt2,{SHAPE},context=16"
    folder = saved(tmp_path / "m", text)
    path = folder / "model.safetensors"
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(path).items()}
    save_file({**tensors, "h.0.attn.bias": torch.ones(1, 1, 16, 16)}, path)
    assert torch.equal(logits(model_of(text)), logits(read(folder)))


def test_bert_files_of_old_with_other_heads_are_read(tmp_path: Path) -> None:
    text = f"like=bert,{SHAPE},context=16"
    folder = saved(tmp_path / "m", text)
    path = folder / "model.safetensors"
    older = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(path).items()
    }
    extra = {"bert.pooler.dense.weight": torch.ones(32, 32), "cls.seq_relationship.bias": torch.ones(2)}
    save_file({**older, **extra}, path)
    assert torch.equal(logits(model_of(text)), logits(read(folder)))


def test_a_stored_head_equal_to_the_table_is_tied_and_another_is_not(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", f"{LLAMA},tied")
    table = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    same, other = (read(with_tensors(folder, lm_head__weight=head)) for head in (table.clone(), 2 * table))
    assert same.head.get_submodule("output").weight is same.embedding.get_submodule("tokens").weight
    assert torch.allclose(2 * logits(same), logits(other), atol=1e-6)


def test_the_tokeniser_goes_along(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = byte_tokenizer()
    write(model_of(), tmp_path / "m", tokenizer)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert tokenizer.encode("def café():") == theirs("def café():")["input_ids"]
    assert config["eos_token_id"] == theirs.eos_token_id == tokenizer.special("end")


def test_stretched_rotary_frequencies_are_those_of_llama_3() -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    from deepwide.formats.constants import RotaryScaling

    table = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope = {**table, "rope_theta": 5e5, "original_max_position_embeddings": 8192}
    config = transformers.LlamaConfig(hidden_size=128, num_attention_heads=1, rope_parameters=rope)
    theirs, _ = ROPE_INIT_FUNCTIONS["llama3"](config)
    plain = 1.0 / 5e5 ** (torch.arange(0, 128, 2) / 128)
    assert torch.allclose(theirs, stretched(plain, RotaryScaling(kind="llama3", factor=8.0)), rtol=1e-5)
