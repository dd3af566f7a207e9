"""The built model is the counted one, to the last parameter, in every family and with every choice of parts."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from deepwide.answers.models import find_model
from deepwide.architecture.model import Architecture
from deepwide.errors import BadInput
from deepwide.facts.models import model_names
from deepwide.formats import families
from deepwide.formats.shorthand import CHOICES, FLAGS
from deepwide.lab.network import Transformer, build
from deepwide.lab.network.equality import differences
from deepwide.lab.network.layers import Linear

TINY = "layers=2,hidden=32,heads=4,ffn=48,vocab=64,context=32"
DECODERS = (
    "llama gpt2 bloom mixtral qwen2_moe qwen3 qwen3_moe gemma gemma2 gemma3_text gptj gpt_neo gpt_neox falcon mistral "
    "olmo2 olmoe opt phi phi3 stablelm cohere mpt starcoder2 granite deepseek codegen nemotron"
).split()
ENCODERS = "bert roberta albert distilbert electra modernbert nomic_bert xlm-roberta".split()
BOTH = "t5 mt5 bart mbart pegasus marian switch_transformers m2m_100".split()
REFUSED = {
    "mamba": "Mamba cannot be built",
    "rwkv": "TimeMix cannot be built",
    "jamba": "Mamba cannot be built",
    "deepseek_v3": "LatentAttention cannot be built",
    "qwen3_next": "DeltaNet cannot be built",
    "gpt_oss": "attention with sinks=True cannot be built",
    "whisper": "reads no text",
    "llava": "stacks vision, decoder cannot be built",
    "deberta": "Assembly cannot be built",
    "roformer": "positions of width 8 beside vectors of 32",
    "trocr": "attends to another model's output",
    "musicgen": "a head of 256 scores beside vocab=64",
}
COMMON = ("llama", "gpt2", "bert", "t5", "mixtral", "bart")
WORDS = [f"{name}={value}" for name, values in CHOICES.items() for value in values] + [*FLAGS]


def described(text: str) -> Architecture:
    return find_model(text).described()


def scores(model: Transformer, rows: int = 2, tokens: int = 7) -> torch.Tensor:
    """The scores of some text; an encoder-decoder reads another one first."""
    draw = torch.Generator().manual_seed(0)
    vocab = int(model.architecture.vocab)
    text = torch.randint(0, vocab, (rows, tokens), generator=draw)
    if len(model.stack_names) == 1:
        return model(text)
    return model(text, sources_BS=torch.randint(0, vocab, (rows, 9), generator=draw))


def check(text: str) -> Transformer:
    """Builds a model, compares it with its count, and runs it."""
    found = find_model(text)
    model = build(found.described())
    assert found.ledger.parameters() == sum(p.numel() for p in model.parameters())
    assert differences(model) == []
    out = scores(model)
    assert (2, 7, found.described().vocab) == tuple(out.shape)
    assert out.dtype == torch.float32
    assert bool(out.isfinite().all())
    return model


@pytest.mark.parametrize("family", [*DECODERS, *ENCODERS, *BOTH])
def test_a_family_is_built_as_it_is_counted(family: str) -> None:
    stacks = ["decoder"] if family in DECODERS else ["encoder"] if family in ENCODERS else ["encoder", "decoder"]
    assert stacks == check(f"like={family},{TINY}").stack_names


@pytest.mark.parametrize("family", COMMON)
def test_every_choice_is_built_as_it_is_counted(family: str) -> None:
    for word in WORDS:
        if (family, word) != ("bart", "untied"):  # it keeps a table that nothing reads
            check(f"like={family},{word},{TINY}")


@pytest.mark.parametrize(
    "text",
    [
        "like=llama,kv_heads=1",
        "like=llama,kv_heads=2,head_dim=16,window=5",
        "like=llama,shared_qkv,no_norm,no_residual",
        "like=gpt2,shared_qkv,qk_norm,positions=rotary",
        "like=t5,shared_qkv,positions=alibi,gated",
        "like=bert,norms=parallel,positions=sinusoidal,norm=rms,unbiased",
        "like=mixtral,experts=3,active_experts=3,norms=sandwich,tied",
        "like=qwen2_moe,experts=5,active_experts=2,shared_experts=2",
        "like=falcon,kv_heads=1,norms=post",
        "like=olmo2,positions=learned,norms=parallel",
    ],
)
def test_choices_together_are_built_as_they_are_counted(text: str) -> None:
    check(f"{text},{TINY}")


def built(text: str) -> bool:
    """Checks a model; False where it is refused, which it is in one line."""
    try:
        check(text)
    except BadInput as refusal:
        said = str(refusal)
    else:
        return True
    assert "\n" not in said
    return False


@pytest.mark.slow
def test_every_family_is_built_as_it_is_counted_or_refused_in_one_line() -> None:
    names = [name for table in families.tables() for name in table]
    assert sum(built(f"like={family},{TINY}") for family in names) >= 151


@pytest.mark.slow
def test_every_model_of_the_catalogue_is_laid_out_as_it_is_counted_or_refused_in_one_line() -> None:
    laid_out = 0
    for name in model_names():
        try:
            found = find_model(name)
            model = build(found.described(), device="meta")
        except BadInput as refusal:
            said = str(refusal)
        else:
            said, laid_out = "", laid_out + 1
            assert found.ledger.parameters() == sum(p.numel() for p in model.parameters()), name
        assert "\n" not in said
    assert laid_out > 100


@pytest.mark.slow
def test_every_pair_of_choices_is_built_as_it_is_counted_or_refused_in_one_line() -> None:
    for family in ("llama", "t5"):
        pairs = [f"like={family},{first},{second},{TINY}" for first in WORDS for second in WORDS]
        assert sum(built(text) for text in pairs) > len(pairs) / 2


@pytest.mark.parametrize("family", REFUSED)
def test_what_cannot_be_computed_is_refused_in_one_line(family: str) -> None:
    with pytest.raises(BadInput, match=REFUSED[family]) as refusal:
        build(described(f"like={family},{TINY}"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["llama-3-8b", "gpt-3-175b", "bert-large", "flan-t5-xxl", "grok-1"])
def test_a_large_model_is_laid_out_without_memory_in_well_under_a_second(name: str) -> None:
    architecture = described(name)
    began = time.process_time()
    model = build(architecture, device="meta")
    assert time.process_time() - began < 1.0
    assert all(p.is_meta for p in model.parameters())
    assert find_model(name).ledger.parameters() == sum(p.numel() for p in model.parameters())


def test_a_tied_head_is_the_table_itself() -> None:
    tied = build(described(f"like=llama,tied,{TINY}"))
    assert tied.head.get_submodule("output").weight is tied.embedding.get_submodule("tokens").weight
    untied = build(described(f"like=llama,untied,{TINY}"))
    assert 64 * 32 == sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in tied.parameters())


def test_shared_layers_are_one_and_run_several_times() -> None:
    shared = build(described(f"like=albert,{TINY}")).stack("encoder")
    assert shared.blocks[0] is shared.blocks[1]
    two, three = (build(described(f"like=albert,{TINY}".replace("layers=2", f"layers={n}"))) for n in (2, 3))
    assert differences(three) == []
    assert not torch.allclose(scores(two), scores(three), atol=1e-4)


@pytest.fixture
def model() -> Transformer:
    return build(described(f"like=gpt2,{TINY}"))


def test_a_tensor_of_another_shape_is_found(model: Transformer) -> None:
    block = model.stack("decoder").blocks[1]
    block.get_submodule("ffn").add_module("up", Linear(32, 40, bias=True))
    assert {
        "1 × decoder.ffn.up [32, 48] counted, not built",
        "1 × decoder.ffn.up [32, 40] built, not counted",
        "1 × decoder.ffn.up.bias [48] counted, not built",
        "1 × decoder.ffn.up.bias [40] built, not counted",
    } == set(differences(model))


def test_a_missing_layer_and_a_missing_bias_are_found(model: Transformer) -> None:
    attention = model.stack("decoder").blocks[0].get_submodule("attention")
    attention.get_submodule("query").register_parameter("bias", None)
    assert ["1 × decoder.attention.query.bias [32] counted, not built"] == differences(model)
    del model.stack("decoder").blocks[1]
    assert len(differences(model)) > 10


def test_a_tensor_too_many_is_found(model: Transformer) -> None:
    model.head.register_parameter("extra", nn.Parameter(torch.zeros(3)))
    assert ["1 × head.extra [3] built, not counted"] == differences(model)


def test_a_head_that_is_no_longer_tied_is_found(model: Transformer) -> None:
    model.head.get_submodule("output").weight = nn.Parameter(torch.zeros(64, 32))
    assert ["1 × head.output [32, 64] built, not counted"] == differences(model)


def test_two_matrices_that_changed_places_are_found(model: Transformer) -> None:
    ffn = model.stack("decoder").blocks[0].get_submodule("ffn")
    up, down = ffn.get_submodule("up"), ffn.get_submodule("down")
    ffn.add_module("up", down)
    ffn.add_module("down", up)
    assert len(differences(model)) == 8
