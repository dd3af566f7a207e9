"""Safetensors files held against the config.json beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import pytest

from deepwide.answers.compare import compare
from deepwide.answers.count import count
from deepwide.answers.models import find_model
from deepwide.architecture.ledger import lower
from deepwide.formats.huggingface import read_config

Shapes = Mapping[str, tuple[int, ...]]

CONFIG = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 300}
CONFIG |= {"num_attention_heads": 4, "num_key_value_heads": 2}
TIED = {**CONFIG, "tie_word_embeddings": True}
LAYER = {
    "self_attn.q_proj.weight": (64, 64),
    "self_attn.k_proj.weight": (32, 64),
    "self_attn.v_proj.weight": (32, 64),
    "self_attn.o_proj.weight": (64, 64),
    "mlp.gate_proj.weight": (96, 64),
    "mlp.up_proj.weight": (96, 64),
    "mlp.down_proj.weight": (64, 96),
    "input_layernorm.weight": (64,),
    "post_attention_layernorm.weight": (64,),
}
BODY = {
    "model.embed_tokens.weight": (300, 64),
    "model.norm.weight": (64,),
    **{f"model.layers.{i}.{name}": shape for i in range(2) for name, shape in LAYER.items()},
}
HEAD = {"lm_head.weight": (300, 64)}
WIDTHS = {"BF16": 2, "I32": 4, "F8_E4M3": 1}


def stored(folder: Path, shapes: Shapes, dtypes: Mapping[str, str] | None = None, name: str = "model") -> Path:
    header: dict[str, Any] = {}
    end = 0
    for tensor, shape in shapes.items():
        dtype = (dtypes or {}).get(tensor, "BF16")
        begin, end = end, end + prod(shape) * WIDTHS[dtype]
        header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    path = folder / f"{name}.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
    return path


def described(folder: Path, config: object) -> None:
    (folder / "config.json").write_text(json.dumps(config))


def total(shapes: Shapes) -> int:
    return sum(prod(shape) for shape in shapes.values())


def test_a_file_with_a_config_that_agrees_has_formulae_and_caches(tmp_path: Path) -> None:
    path = stored(tmp_path, {**BODY, **HEAD})
    described(tmp_path, CONFIG)
    model = find_model(str(path))
    assert lower(read_config(CONFIG)) == model.ledger
    assert total({**BODY, **HEAD}) == count(model, explain=True).total
    assert all(row.formula for row in count(model, explain=True).rows)


def test_files_of_one_name_in_two_folders_are_two_models(tmp_path: Path) -> None:
    names = []
    for folder, tied in (("a", True), ("b", False)):
        (tmp_path / folder).mkdir()
        names.append(str(stored(tmp_path / folder, BODY if tied else {**BODY, **HEAD})))
        described(tmp_path / folder, {**CONFIG, "tie_word_embeddings": tied})
    found = compare(names)
    assert names == [shape.model for shape in found.models]
    assert [names[0]] == [v.winner for v in found.verdict if v.criterion == "weights"]


def test_a_file_alone_is_counted_by_its_tensors(tmp_path: Path) -> None:
    model = find_model(str(stored(tmp_path, BODY)))
    assert total(BODY) == model.ledger.parameters()
    assert model.architecture is None
    assert "tensors say nothing of attention scores and KV caches: neither is counted" in model.notes


def test_a_tied_head_that_is_stored_all_the_same_counts_once(tmp_path: Path) -> None:
    path = stored(tmp_path, {**BODY, **HEAD})
    described(tmp_path, TIED)
    model = find_model(str(path))
    assert total(BODY) == model.ledger.parameters()
    assert "lm_head.weight is tied and yet stored: 19,200 numbers lie in the file twice, and count once" in model.notes


def test_buffers_beside_the_weights_are_no_disagreement(tmp_path: Path) -> None:
    path = stored(tmp_path, {**BODY, "model.layers.0.self_attn.rotary_emb.inv_freq": (8,)})
    described(tmp_path, TIED)
    model = find_model(str(path))
    assert total(BODY) == model.ledger.parameters()
    assert model.architecture is not None


def test_where_file_and_config_disagree_both_totals_are_named(tmp_path: Path) -> None:
    path = stored(tmp_path, {**BODY, "model.pooler.weight": (64, 10)})
    described(tmp_path, TIED)
    model = find_model(str(path))
    both = f"its tensors hold {total(BODY) + 640:,} parameters and its description says {total(BODY):,}"
    assert total(BODY) + 640 == model.ledger.parameters()
    assert f"{both}: the tensors are counted" in model.notes
    assert 2 * total(BODY) > count(model, explain=True).total


def test_packed_weights_are_counted_by_the_config(tmp_path: Path) -> None:
    words = {name: shape for name, shape in BODY.items() if "_proj" not in name}
    for name, (rows, columns) in {n: s for n, s in BODY.items() if "_proj" in n}.items():
        words[name.replace(".weight", ".qweight")] = (rows, columns // 8)
        words[name.replace(".weight", ".scales")] = (rows, 1)
    path = stored(tmp_path, words, {name: "I32" for name in words if name.endswith("qweight")})
    described(tmp_path, TIED)
    model = find_model(str(path))
    assert total(BODY) == model.ledger.parameters()
    assert any("hold several weights in a number: counted by the description" in note for note in model.notes)


def test_weights_in_8_bits_with_scales_agree_with_the_config(tmp_path: Path) -> None:
    scales = {name.replace(".weight", ".weight_scale_inv"): (1, 1) for name in BODY if "_proj" in name}
    path = stored(tmp_path, {**BODY, **scales}, {name: "F8_E4M3" for name in BODY if "_proj" in name})
    described(tmp_path, TIED)
    assert lower(read_config(TIED)) == find_model(str(path)).ledger


def test_the_config_of_another_model_is_not_believed(tmp_path: Path) -> None:
    path = stored(tmp_path, {"base_model.model.layers.0.self_attn.q_proj.lora_A.weight": (8, 64)})
    described(tmp_path, CONFIG)
    model = find_model(str(path))
    assert 512 == model.ledger.parameters()
    assert model.architecture is None


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"model_type": "nonesuch"}, "is an unknown family"),
        ({**CONFIG, "num_attention_heads": 7}, "num_attention_heads=7"),
        ([], "expected a table of fields"),
    ],
)
def test_a_config_that_cannot_be_read_leaves_the_tensors(config: object, named: str, tmp_path: Path) -> None:
    path = stored(tmp_path, BODY)
    described(tmp_path, config)
    model = find_model(str(path))
    assert total(BODY) == model.ledger.parameters()
    assert named in model.notes[0]


def test_one_file_of_several_says_so(tmp_path: Path) -> None:
    path = stored(tmp_path, BODY, name="model-00001-of-00002")
    described(tmp_path, CONFIG)
    assert "one of 2 files; the whole is counted from its .index.json" in find_model(str(path)).notes[0]


def test_an_index_is_held_against_the_config_too(tmp_path: Path) -> None:
    stored(tmp_path, BODY, name="model-00001-of-00002")
    stored(tmp_path, HEAD, name="model-00002-of-00002")
    files = {name: f"model-0000{1 + (name in HEAD)}-of-00002.safetensors" for name in {**BODY, **HEAD}}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))
    described(tmp_path, CONFIG)
    assert lower(read_config(CONFIG)) == find_model(str(index)).ledger


def test_a_gguf_of_an_unknown_family_is_described_by_the_config_beside_it(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    writer = pytest.importorskip("gguf").GGUFWriter(tmp_path / "model.gguf", "gollum")
    for name, shape in BODY.items():
        writer.add_tensor(name, numpy.zeros(shape, numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    described(tmp_path, TIED)
    assert lower(read_config(TIED)) == find_model(str(tmp_path / "model.gguf")).ledger
