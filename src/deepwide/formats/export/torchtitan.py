"""A model of torchtitan: the arguments to register as a flavor, and the lines of a TOML config that name it.

Names are those of torchtitan 0.2 (torchtitan/models/llama3/model/args.py and models/qwen3/model/args.py,
https://github.com/pytorch/torchtitan). Its Llama 3 takes the width of the network from a rule; a shape that the rule
cannot meet, with tied tables or heads of their own width is a Qwen 3 there, with or without norms of queries and keys.
"""

from __future__ import annotations

from deepwide.architecture.model import Architecture
from deepwide.formats.constants import RotaryScaling, Said
from deepwide.formats.export.plain import Plain, Refusal, biases, gated_by, plain, power_of_two

ENGINE = "torchtitan"
MOST_MULTIPLE = 4096  # of the published flavors
DECIMALS = 6
UNSTRETCHED = RotaryScaling(kind="llama3", factor=1.0)  # its Llama 3 stretches by 8 unless told so


def written(architecture: Architecture, said: Said) -> str:
    """Python to register the flavor, and the part of a job's TOML that asks for it."""
    p, refuse = plain(architecture, said, ENGINE), Refusal(architecture.name, ENGINE)
    _refuse(p, refuse)
    width = _by_rule(p) if _is_llama(p) else None
    return _llama(p, width) if width else _qwen(p, refuse)


def _refuse(p: Plain, refuse: Refusal) -> None:
    if p.experts is not None:
        raise refuse("this mixture of experts")
    if p.norm.kind != "rms" or not p.norm.scale or not gated_by(p, "silu", "swish", "swiglu"):
        raise refuse("anything but RMS norms and a network gated by silu")
    if p.positions != "rotary" or p.attention.window is not None:
        raise refuse(f"{p.positions} positions or a window in attention" if p.positions != "rotary" else "a window")
    if biases(p, refuse):
        raise refuse("biases")


def _is_llama(p: Plain) -> bool:
    """Whether its Llama 3 could be this model, whose rotary angles it stretches as Llama 3.1 does, or not at all."""
    as_there = (p.said.rotary_scaling or UNSTRETCHED).kind == "llama3"
    return p.joined and not p.tied and p.attention.qk_norm is None and as_there


def llama_width(hidden: int, multiple: int, multiplier: float | None) -> int:
    """The width of the network in its Llama 3: two thirds of four times hidden, times a factor, rounded up.

    >>> llama_width(4096, 1024, 1.3)
    14336
    """
    width = int(2 * 4 * hidden / 3)
    width = width if multiplier is None else int(multiplier * width)
    return multiple * -(-width // multiple)


def _by_rule(p: Plain) -> tuple[int, float | None] | None:
    """The multiple and the factor of fewest digits that give this width; None where none do."""
    width, multiple = int(p.network.ffn), power_of_two(int(p.network.ffn), MOST_MULTIPLE)
    if llama_width(p.hidden, multiple, None) == width:
        return multiple, None
    exact = width / int(2 * 4 * p.hidden / 3)
    for digits in range(1, DECIMALS + 1):
        for factor in (round(exact, digits), round(exact - 10**-digits, digits)):
            if factor > 0 and llama_width(p.hidden, multiple, factor) == width:
                return multiple, factor
    return None


def _llama(p: Plain, rule: tuple[int, float | None]) -> str:
    s = p.said.rotary_scaling or UNSTRETCHED
    scaling = f"RoPEScalingArgs(scaling_factor={s.factor!r}, low_freq_factor={s.low!r}, high_freq_factor={s.high!r}, "
    fields = [
        *_common(p),
        f"multiple_of={rule[0]}",
        *([] if rule[1] is None else [f"ffn_dim_multiplier={rule[1]!r}"]),
        f"rope_scaling_args={scaling}original_max_position_embeddings={s.original})",
    ]
    return _fragment("llama3", "llama3_args", "TransformerModelArgs", fields, p)


def _qwen(p: Plain, refuse: Refusal) -> str:
    if p.said.rotary_scaling is not None:
        raise refuse("stretched rotary positions with this width, tying or head_dim")
    if p.attention.qk_norm is not None and (p.attention.qk_norm != p.norm or p.attention.qk_norm_over != "head"):
        raise refuse("norms of queries and keys that are not RMS norms over each head")
    fields = [
        *_common(p),
        f"head_dim={p.attention.head_dim}",
        f"hidden_dim={p.network.ffn}",
        f"qk_norm={p.attention.qk_norm is not None}",
        f"enable_weight_tying={p.tied}",
    ]
    return _fragment("qwen3", "qwen3_args", "Qwen3ModelArgs", fields, p)


def _common(p: Plain) -> list[str]:
    return [
        f"dim={p.hidden}",
        f"n_layers={p.layers}",
        f"n_heads={p.attention.heads}",
        f"n_kv_heads={p.attention.kv_heads}",
        f"vocab_size={p.vocab}",
        *([] if p.said.norm_eps is None else [f"norm_eps={p.said.norm_eps!r}"]),
        *([] if p.said.rotary_base is None else [f"rope_theta={p.said.rotary_base!r}"]),
        *([f"max_seq_len={p.context}"] if p.context else []),
    ]


def _fragment(model: str, table: str, kind: str, fields: list[str], p: Plain) -> str:
    """Both halves; the flavor's name is its shape, which any file can hold."""
    flavor, inner = f"{p.layers}x{p.hidden}", "".join(f"    {field},\n" for field in fields)
    names = kind if model == "qwen3" else f"RoPEScalingArgs, {kind}"
    python = (
        f"from torchtitan.models.{model} import {table}\nfrom torchtitan.models.{model}.model.args import {names}\n\n"
    )
    toml = f'#   [model]\n#   name = "{model}"\n#   flavor = "{flavor}"\n'
    return f'{python}{table}["{flavor}"] = {kind}(\n{inner})\n\n# and in the job\'s TOML:\n{toml}'
