"""The ledger: what rows say, alone and summed, for one model and for many."""

from __future__ import annotations

import numpy as np
import pytest

from deepwide.architecture.attention import Attention
from deepwide.architecture.experts import Experts
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.ledger import lower
from deepwide.architecture.model import Architecture, Branch, Layer, Run, Stack
from deepwide.architecture.parts import LAYER, RMS, Head, TokenEmbedding
from deepwide.architecture.symbols import symbolic
from deepwide.architecture.walk import widened
from deepwide.formats.huggingface import read_config

SHAPES = [
    {"layers": 2, "hidden": 256, "heads": 4, "kv_heads": 2, "ffn": 768},
    {"layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "ffn": 14336},
    {"layers": 80, "hidden": 8192, "heads": 64, "kv_heads": 64, "ffn": 28672},
]


def model(**changes: object) -> Architecture:
    return read_config({"model_type": "llama"}, changes={**SHAPES[0], "vocab": 1000, **changes})


def total(architecture: Architecture) -> int:
    return lower(architecture).parameters()


def body(architecture: Architecture) -> int:
    sums = lower(architecture).parameters_by(lambda w: w.part)
    return sums["attention"] + sums["ffn"]


def test_doubling_layers_doubles_block_parameters() -> None:
    assert 2 * body(model(layers=2)) == body(model(layers=4))


def test_doubling_the_width_makes_matrices_four_times_as_large() -> None:
    assert 4 * body(model()) == body(widened(model()))


def test_a_tied_head_is_read_but_not_owned() -> None:
    assert 1000 * 256 == total(model(tied=False)) - total(model(tied=True))


def test_a_tied_head_costs_as_much_work_as_its_own() -> None:
    assert [op.n for op in lower(model(tied=True)).ops] == [op.n for op in lower(model(tied=False)).ops]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_of_a_sweep_equals_the_model_counted_alone(shape: dict[str, int]) -> None:
    columns = {name: np.array([s[name] for s in SHAPES], dtype=float) for name in shape}
    sweep = lower(read_config({"model_type": "llama"}, changes={**columns, "vocab": 1000}))
    assert total(model(**shape)) == sweep.parameters()[SHAPES.index(shape)]


def test_counts_stay_exact_where_64_bit_integers_overflow() -> None:
    huge = model(layers=100_000, hidden=10**9, heads=10**6, kv_heads=10**6, head_dim=1000, ffn=10**12)
    assert huge.main.layers * (4 * 10**18 + 3 * 10**21) == body(huge)


def test_every_formula_comes_out_as_the_number_beside_it() -> None:
    for w in lower(symbolic(model())).weights:
        assert eval_product(w.parameters.numbers) == int(w.parameters)


def eval_product(text: str) -> int:
    """The value of a formula in numbers, such as `256 · (4 + 2) · 64`."""
    assert set(text) <= set("0123456789,·+-/() ")
    return int(eval(text.replace(",", "").replace("·", "*").replace("/", "//")))


def test_a_formula_is_spelled_in_the_words_of_the_glossary() -> None:
    key = next(w for w in lower(symbolic(model())).weights if w.role == "key")
    assert "hidden · kv_heads · head_dim · layers" == key.parameters.text


def test_shared_layers_are_stored_once_and_run_every_time() -> None:
    shared = lower(read_config({"model_type": "albert", "num_hidden_layers": 12}))
    query = next(w for w in shared.weights if w.role == "query")
    product = next(op for op in shared.ops if op.weight == query.name)
    assert (1, 12) == (query.repeat, product.repeat)


def test_experts_own_all_and_use_some() -> None:
    moe = lower(decoder(Experts(experts=8, active_experts=2, ffn=512)))
    experts = [w for w in moe.weights if w.role.startswith("expert")]
    assert 4 * sum(w.active_parameters for w in experts) == sum(w.parameters for w in experts)


def test_grouped_heads_shrink_the_cache_by_the_size_of_the_group() -> None:
    caches = [lower(model(kv_heads=k)).caches[0].elements for k in (4, 1)]
    assert 4 == caches[0] // caches[1]


def test_sums_by_part_add_up_to_the_total() -> None:
    ledger = lower(model())
    assert ledger.parameters() == sum(ledger.parameters_by(lambda w: w.part).values())


def test_a_layer_norm_has_a_gain_and_a_bias() -> None:
    plain, biased = (total(decoder(FeedForward(ffn=512), norm)) for norm in (RMS, LAYER))
    assert 2 * 3 * 64 == biased - plain


def decoder(feed: FeedForward | Experts, norm=RMS) -> Architecture:
    attention = Attention(heads=4, kv_heads=4, head_dim=16)
    layer = Layer(branches=(Branch(body=attention, before=norm), Branch(body=feed, before=norm)))
    return Architecture(
        name="built by hand",
        family="llama",
        vocab=100,
        embedding=(TokenEmbedding(vocab=100),),
        stacks=(Stack(name="decoder", hidden=64, runs=(Run(layer=layer, layers=3),)),),
        head=(Head(vocab=100),),
    )
