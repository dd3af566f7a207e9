"""Packed matrices stand for what was rounded, kernels compute with them, and what is cut out is what stays."""

from __future__ import annotations

import pytest
import torch

from deepwide.answers.models import find_model
from deepwide.lab import build
from deepwide.lab.compress import Kept, Way, cut, latencies, make_sparse, multiplied, quantise, stored, zeros
from deepwide.lab.compress.codes import nibbles, pack, sizes, unpack
from deepwide.lab.compress.importance import channel_scores, head_scores, layer_losses
from deepwide.lab.compress.layers import PackedLinear
from deepwide.lab.training.objective import batch_of

SMALL = "like=llama,layers=2,hidden=64,heads=4,kv_heads=2,ffn=96,vocab=32"
WAYS = [Way(to="int8"), *(Way(to="int4", group=group) for group in (32, 64, 128))]


def model(text: str = SMALL):
    return build(find_model(text).described(), seed=0)


def batches():
    tokens = torch.randint(32, (2, 9), generator=torch.Generator().manual_seed(0))
    return [batch_of(tokens=tokens[:, :-1], targets=tokens[:, 1:])]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_is_unpacked_is_within_half_a_step_of_what_was_packed(way):
    matrix = torch.randn(48, 128, generator=torch.Generator().manual_seed(0))
    packed = pack(matrix, way)
    steps = packed["scales"].repeat_interleave(128 // (packed["scales"].numel() // 48), dim=-1).view(48, -1)
    assert bool(((unpack(packed, way, (48, 128)) - matrix).abs() <= 0.52 * steps + 0.01 * matrix.abs()).all())


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_packed_tensors_have_the_shapes_that_a_file_is_read_into(way):
    packed = pack(torch.randn(5, 128), way)
    assert sizes(way, (5, 128)) == {name: (tuple(t.shape), t.dtype) for name, t in packed.items()}


def test_two_codes_lie_in_a_byte_the_lower_half_first():
    assert nibbles(torch.tensor([0x21, 0x43], dtype=torch.uint8)).tolist() == [1, 2, 3, 4]


def test_a_group_of_zeros_stays_zero():
    for way in WAYS:
        assert unpack(pack(torch.zeros(16, 128), way), way, (16, 128)).abs().max() == 0


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_kernel_computes_what_the_unpacked_matrix_does(way):
    layer = PackedLinear(way, (32, 128), torch.nn.Parameter(torch.randn(32)))
    layer.fill(pack(torch.randn(32, 128), way))
    x = torch.randn(2, 128)
    with torch.no_grad():
        by_kernel, unpacked = layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias)
    assert layer.has_kernel
    assert float((by_kernel - unpacked).norm() / unpacked.norm()) < 0.01


def test_a_packed_layer_passes_gradients_to_its_input():
    layer = PackedLinear(Way(to="int8"), (16, 32), None)
    layer.fill(pack(torch.randn(16, 32), Way(to="int8")))
    x = torch.randn(1, 32, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad[0], layer.weight.sum(0), atol=1e-5)


def test_experts_are_packed_and_still_compute():
    mixture = model("like=mixtral,layers=1,hidden=64,heads=2,experts=4,active_experts=2,ffn=128,vocab=32")
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        before = mixture(tokens)
        quantise(
            mixture, Way(to="int8"), {"decoder.ffn.expert_up", "decoder.ffn.expert_down", "decoder.ffn.expert_gate"}
        )
        assert float((mixture(tokens) - before).norm() / before.norm()) < 0.05
    assert stored(mixture)["decoder.blocks.0.ffn.expert_up.codes"].dtype == torch.int8


def test_a_group_that_passes_nothing_on_is_scored_zero_and_goes_first():
    dumb = model()
    with torch.no_grad():
        dumb.get_submodule("decoder.blocks.0.attention.output").weight[:, 32:] = 0
        dumb.get_submodule("decoder.blocks.0.ffn.down").weight[:, 7] = 0
    assert head_scores(dumb, batches())["decoder.blocks.0.attention"][1] == 0
    assert channel_scores(dumb, batches())["decoder.blocks.0.ffn"].argmin() == 7


def test_cutting_what_passes_nothing_on_changes_no_score():
    whole = model()
    kept_groups, kept_channels = torch.tensor([1]), torch.tensor([i for i in range(96) if i % 3])
    with torch.no_grad():
        for block in whole.decoder.blocks:
            block.attention.output.weight[:, :32] = 0
            block.ffn.down.weight[:, ::3] = 0
    small = find_model("like=llama,layers=2,hidden=64,heads=2,kv_heads=1,head_dim=16,ffn=64,vocab=32").described()
    paths = [f"decoder.blocks.{i}." for i in range(2)]
    kept = Kept(
        layers=(0, 1),
        groups={f"{p}attention": kept_groups for p in paths},
        channels={f"{p}ffn": kept_channels for p in paths},
    )
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        assert torch.allclose(cut(whole, small, kept)(tokens), whole(tokens), atol=1e-5)


def test_cutting_a_layer_leaves_the_others():
    whole = model(SMALL.replace("layers=2", "layers=3"))
    small = cut(whole, find_model(SMALL).described(), Kept(layers=(0, 2)))
    assert torch.equal(small.decoder.blocks[1].ffn.up.weight, whole.decoder.blocks[2].ffn.up.weight)
    assert layer_losses(whole, batches(), [0, 1, 2]).keys() == {0, 1, 2}
    assert len(whole.decoder.blocks) == 3


def test_half_of_the_weights_become_zero_and_the_count_stays():
    sparse = model()
    make_sparse(sparse, 0.5)
    none, all_of_them = zeros(sparse)
    assert none == all_of_them // 2
    assert all_of_them == 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 96)
    assert multiplied(sparse) == all_of_them + 64 * 32


def test_latencies_are_those_of_a_prompt_and_of_a_token():
    (took,) = latencies([model()], torch.arange(8)[None])
    assert took.prompt == 8
    assert took.decode_s is not None
    assert min(took.prefill_s, took.decode_s) > 0
