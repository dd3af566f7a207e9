"""Shorthand: models in one line, and what follows when something is left out."""

from __future__ import annotations

import pytest

from deepwide.answers.models import find_model
from deepwide.architecture.sizes import sizes
from deepwide.errors import BadInput


def shape(text: str) -> tuple[object, ...]:
    s = sizes(find_model(text).described())
    return s.layers, s.hidden, s.heads, s.kv_heads, s.head_dim, s.ffn, s.vocab


def test_a_shape_in_one_line_is_the_model_it_describes() -> None:
    written = "like=llama,layers=32,hidden=4096,heads=32,kv_heads=8,ffn=14336,vocab=128256"
    assert find_model("llama-3-8b").ledger == find_model(written).ledger


def test_left_out_heads_and_ffn_follow_the_stated_defaults_and_say_so() -> None:
    found = find_model("like=llama,layers=32,hidden=4096")
    assert (32, 4096, 32, 32, 128, 11008, 32000) == shape("like=llama,layers=32,hidden=4096")
    assert {"heads=32 assumed: hidden / 128", "ffn=11008 assumed: 8/3 hidden, rounded up to 256"} <= set(found.notes)


def test_a_plain_network_is_four_times_as_wide() -> None:
    assert 3072 == sizes(find_model("like=gpt2,layers=12,hidden=768").described()).ffn


def test_more_layers_change_nothing_else() -> None:
    assert (48, *shape("llama-3-8b")[1:]) == shape("llama-3-8b,layers=48")


def test_a_wider_model_keeps_its_proportions() -> None:
    assert (32, 8192, 64, 8, 128, 28672, 128256) == shape("llama-3-8b,hidden=8192")


def test_heads_that_do_not_divide_the_width_keep_their_number() -> None:
    assert (64, 2880, 32, 8, 90, 10112, 128256) == shape("llama-3-8b,layers=64,hidden=2880")


def test_counts_may_have_endings() -> None:
    assert find_model("like=llama,layers=2,hidden=256,vocab=32k").described().vocab == 32_000


def test_tied_drops_the_head() -> None:
    untied, tied = (find_model(f"like=llama,layers=2,hidden=256{end}").ledger.parameters() for end in ("", ",tied"))
    assert 32_000 * 256 == untied - tied


def test_a_linear_layer_by_itself_has_its_matrix_and_its_bias() -> None:
    assert 2_362_368 == find_model("linear=768x3072").ledger.parameters()


def test_an_embedding_by_itself_is_its_table() -> None:
    assert 38_400_000 == find_model("embedding=50000x768").ledger.parameters()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("like=llama,layers=32", "hidden is missing"),
        ("like=lama,layers=2,hidden=256", "did you mean llama"),
        ("llama-3-8b,layrs=3", "did you mean layers"),
        ("lama-3-8b", "did you mean llama-3-8b"),
        ("like=llama,layers=2,hidden=300", "hidden=300 is not a multiple of head_dim=128"),
        ("like=llama,layers=2,hidden=256,heads=0", "heads=0 must be at least 1"),
        ("like=llama,layers=2,hidden=256,heads=3", "does not divide"),
        ("like=llama,layers=2,hidden=256,heads=4,kv_heads=3", "must be a multiple of"),
        ("like=llama,layers=1e99,hidden=256", "layers"),
        ("like=llama,layers=99999999,hidden=256", "must lie between"),
        ("linear=768", "two sizes"),
        ("", "layers is missing"),
        ("no/such/config.json", "no file called"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(text: str, said: str) -> None:
    with pytest.raises(BadInput) as error:
        find_model(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_narrow_head_is_warned_of() -> None:
    assert any("head_dim=32 is below 64" in note for note in find_model("like=llama,layers=2,hidden=256,heads=8").notes)
