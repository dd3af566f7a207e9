"""Launch arguments of Megatron-LM's pretrain_gpt.py that make the shape: size, norms, positions, experts.

Names are those of megatron/training/arguments.py of Megatron Core 0.15
(https://github.com/NVIDIA/Megatron-LM/blob/core_r0.15.0/megatron/training/arguments.py).
Data, tokens of a sequence, batch, learning rate and the split over devices are the user's.
"""

from __future__ import annotations

from deepwide.architecture.model import Architecture
from deepwide.formats.constants import Said
from deepwide.formats.export.plain import GELU, Plain, Refusal, biases, gated_by, plain, power_of_two

ENGINE = "Megatron-LM"
POSITIONS = {"rotary": "rope", "learned": "learned_absolute", "none": "none"}
PADDED_TO = 128  # Megatron's own multiple of the vocabulary
RAMP = (1.0, 4.0, 8192)  # of --use-rope-scaling, fixed there


def written(architecture: Architecture, said: Said) -> str:
    """The arguments, one a line, ready for a shell."""
    p, refuse = plain(architecture, said, ENGINE), Refusal(architecture.name, ENGINE)
    lines = [
        *_size(p),
        *_attention(p, refuse),
        *_norms(p, refuse),
        *_positions(p, refuse),
        *_network(p, refuse),
    ]
    return " \\\n".join(lines) + "\n"


def _size(p: Plain) -> list[str]:
    return [
        f"--num-layers {p.layers}",
        f"--hidden-size {p.hidden}",
        f"--ffn-hidden-size {p.network.ffn}",
        f"--num-attention-heads {p.attention.heads}",
        f"--vocab-size {p.vocab}",
        f"--make-vocab-size-divisible-by {power_of_two(p.vocab, PADDED_TO)}",
        *([] if p.tied else ["--untie-embeddings-and-output-weights"]),
        *([f"--max-position-embeddings {p.context}"] if p.context else []),
    ]


def _attention(p: Plain, refuse: Refusal) -> list[str]:
    """Heads, where keys are shared or as wide as they like; a window is the tokens on the left, itself apart."""
    a, lines = p.attention, []
    if a.kv_heads != a.heads:
        lines += ["--group-query-attention", f"--num-query-groups {a.kv_heads}"]
    if not p.joined:
        lines.append(f"--kv-channels {a.head_dim}")
    if a.window is not None:
        lines.append(f"--window-size {int(a.window) - 1},0")
    if a.qk_norm is not None:
        if a.qk_norm != p.norm or a.qk_norm_over != "head":
            raise refuse("norms of queries and keys that are not those of the layers, over each head")
        lines.append("--qk-layernorm")
    return lines


def _norms(p: Plain, refuse: Refusal) -> list[str]:
    if not p.norm.scale or (p.norm.kind == "layer") != p.norm.bias:
        raise refuse("norms without a gain, or LayerNorms without a bias")
    kind = "RMSNorm" if p.norm.kind == "rms" else "LayerNorm"
    eps = p.said.norm_eps
    return [f"--normalization {kind}", *([] if eps is None else [f"--norm-epsilon {eps:g}"])]


def _positions(p: Plain, refuse: Refusal) -> list[str]:
    lines = [f"--position-embedding-type {POSITIONS[p.positions]}"]
    if p.positions != "rotary":
        return lines
    if p.said.rotary_base is not None:
        lines.append(f"--rotary-base {p.said.rotary_base:.0f}")
    scaling = p.said.rotary_scaling
    if scaling is None:
        return lines
    if scaling.kind == "linear":
        return [*lines, f"--rotary-seq-len-interpolation-factor {scaling.factor:.0f}"]
    if (scaling.low, scaling.high, scaling.original) != RAMP:
        raise refuse(f"a rope ramp other than {RAMP}")
    return [*lines, "--use-rope-scaling", f"--rope-scaling-factor {scaling.factor:g}"]


def _network(p: Plain, refuse: Refusal) -> list[str]:
    flags = {"": ["--disable-bias-linear"], "qkv": ["--disable-bias-linear", "--add-qkv-bias"], "all": []}
    return [*_activation(p, refuse), *flags[biases(p, refuse)], *_experts(p)]


def _activation(p: Plain, refuse: Refusal) -> list[str]:
    if gated_by(p, "silu", "swish", "swiglu"):
        return ["--swiglu"]
    if not p.network.gated and p.network.activation == "relu2":
        return ["--squared-relu"]
    if not p.network.gated and p.network.activation in GELU:
        return []
    raise refuse(f"a {'gated ' if p.network.gated else ''}network with {p.network.activation}")


def _experts(p: Plain) -> list[str]:
    e = p.experts
    if e is None:
        return []
    lines = [f"--num-experts {e.experts}", f"--moe-router-topk {e.active_experts}", f"--moe-ffn-hidden-size {e.ffn}"]
    if e.shared is not None:
        lines.append(f"--moe-shared-expert-intermediate-size {e.shared.ffn}")
    return lines + (["--moe-shared-expert-gate"] if e.shared_gate else [])
