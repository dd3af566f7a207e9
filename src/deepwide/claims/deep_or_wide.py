"""Deep or wide? The page on which documents 001 and 004 contradict each other: who wins where, by how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deepwide import units
from deepwide.answers.shape import Shape
from deepwide.claims.book import answered
from deepwide.claims.claim import Text
from deepwide.claims.shapes import AXES, DEVICES, SIZES, deep, opposed, other, verdict_on, wide, winner
from deepwide.claims.words import VERDICTS

WHO = {"deep": Text("deep", "深"), "wide": Text("wide", "宽"), "tie": Text("tie", "持平")}
TITLE = Text("Deep or wide?", "深还是宽？")
OPENING = Text(
    "One document says that narrow and deep is better, another that wide is. Both are right, on different axes. "
    "Below, two shapes with as many parameters are held against each other at three sizes, those of {models}: the "
    "deep one has two thirds of the width of that model, the wide one three halves of it. Predicted numbers carry "
    "their interval. Most of it is common to both shapes, so their difference is known better than either; a "
    "difference inside its own uncertainty is a tie.",
    "一篇文档说窄而深更好，另一篇说宽更好。两者都对，只是各在不同的维度上。下面以 {models} 的三个规模，比较两个参数"
    "量相同的形状：深者的宽度为该模型的三分之二，宽者为二分之三。预测值附区间；其中大部分为两个形状所共有，因此两者"
    "之差比各自的数值更确定；差异小于其自身不确定度的记为持平。",
)
SETTING = Text(
    "Times on {on}: a token and a prompt of {context} tokens at batch 1 on one device, sums over {tp} devices, a "
    "training step on {devices}. Losses after 20 tokens for each parameter. Written by `deepwide claims --write "
    "docs`.",
    "时间以 {on} 计：单设备、批大小 1 的一个 token 与 {context} token 的提示，{tp} 卡间求和，{devices} 卡训练一步。"
    "损失为每参数 20 token 训练之后。本页由 `deepwide claims --write docs` 生成。",
)
SUMMARY = Text("Who is ahead", "谁领先")
AXIS = Text("axis", "维度")
AHEAD = Text("ahead", "领先者")
BY = Text("by", "幅度")
DEEP_WINS = Text("**Deep wins** at every size on {axes}.", "**深者**在所有规模上领先：{axes}。")
WIDE_WINS = Text("**Wide wins** at every size on {axes}.", "**宽者**在所有规模上领先：{axes}。")
DEPENDS = Text("**It depends on the size** for {axes}.", "**随规模而变**：{axes}。")
FFN_TITLE = Text("A wider FFN, or more layers?", "更宽的 FFN，还是更多的层？")
FFN_TEXT = Text(
    "At equal parameters, what another FFN width changes. The law of shapes does not see the FFN's ratio; what a "
    "published law of it adds (Bian et al. 2025, arXiv:2510.18245) stands beside.",
    "参数量相同时改变 FFN 宽度的影响。形状定律看不到 FFN 比例；另列一条已发表定律（Bian 等 2025，arXiv:2510.18245）"
    "给出的附加量。",
)
FFN_HEADS = Text(
    "shape|layers|loss|law of the ratio|token|prompt|training step", "形状|层数|损失|比例定律|每 token|提示|训练一步"
)

MEASURED_TITLE = Text("What real training says", "真实训练的结果")
MEASURED = ("004-27", "004-29", "004-33")


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis as it is told: the number of a shape and how that is spelled; `spread` are its two ends."""

    field: str
    spell: Callable[[float], str]
    spread: tuple[str, str] | None = None


def _nats(value: float) -> str:
    return f"{value:.3f} nat"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


TOLD = {
    "loss": Axis(field="loss", spell=_nats, spread=("low", "high")),
    "decode time": Axis(field="decode_s", spell=units.duration, spread=("decode_low_s", "decode_high_s")),
    "prefill time": Axis(field="prefill_s", spell=units.duration, spread=("prefill_low_s", "prefill_high_s")),
    "training step": Axis(field="step_s", spell=units.duration, spread=("step_low_s", "step_high_s")),
    "launches": Axis(field="kernels", spell=_whole),
    "launch time": Axis(field="launch_s", spell=units.duration),
    "all-reduces": Axis(field="sums", spell=_whole),
    "all-reduce time": Axis(field="decode_sums_s", spell=units.duration),
    "intensity": Axis(field="intensity", spell=_whole),
    "tile fill": Axis(field="fill", spell="{:.1%}".format),
    "largest layer": Axis(field="layer_bytes", spell=units.size),
    "inference memory": Axis(field="inference_bytes", spell=units.size),
    "training memory": Axis(field="training_bytes", spell=units.size),
    "KV cache": Axis(field="kv_cache_bytes_per_token", spell=units.size),
    "gradient path": Axis(field="gradient_path", spell=_whole),
}


def deep_or_wide_page(language: str) -> str:
    """The page in Markdown."""
    seen = opposed("8B")
    opening = OPENING.told(language).format(models=", ".join(SIZES.values()))
    setting = SETTING.told(language).format(on=seen.on, context=f"{seen.context:,}", tp=seen.tp, devices=DEVICES)
    lines = [
        f"# {TITLE.told(language)}",
        "",
        opening,
        "",
        setting,
        "",
        f"## {SUMMARY.told(language)}",
        "",
    ]
    lines += [*_summary(language), "", *_sentences(language)]
    for size in SIZES:
        lines += ["", f"## {size}", "", *_size(size, language)]
    lines += ["", f"## {FFN_TITLE.told(language)}", "", FFN_TEXT.told(language), "", *_ffn(language)]
    lines += ["", f"## {MEASURED_TITLE.told(language)}", "", *_measured(language)]
    return "\n".join(lines).rstrip() + "\n"


def _summary(language: str) -> Iterator[str]:
    """Each axis with who is ahead at each size, and by how much."""
    yield f"| {AXIS.told(language)} | {' | '.join(SIZES)} |"
    yield f"|---|{'---|' * len(SIZES)}"
    for axis in AXES:
        cells = (f"{WHO[winner(size, axis)].told(language)} {_by(size, axis)}".rstrip() for size in SIZES)
        yield f"| {AXES[axis].told(language)} | {' | '.join(cells)} |"


def _sentences(language: str) -> Iterator[str]:
    """The same in words: where one of them is ahead at every size, and where that depends."""
    comma, groups = "；" if language == "zh" else "; ", {text: list[str]() for text in (DEEP_WINS, WIDE_WINS, DEPENDS)}
    for axis in AXES:
        ahead = {winner(size, axis) for size in SIZES}
        if ahead != {"tie"}:
            text = {frozenset({"deep"}): DEEP_WINS, frozenset({"wide"}): WIDE_WINS}.get(frozenset(ahead), DEPENDS)
            groups[text].append(AXES[axis].told(language))
    for text, axes in groups.items():
        if axes:
            yield f"{text.told(language).format(axes=comma.join(axes))}  "


def _size(size: str, language: str) -> Iterator[str]:
    """Both shapes of one size, axis by axis."""
    narrow, broad = deep(size), wide(size)
    shapes = (f"{WHO[n].told(language)}{_shape(s)}" for n, s in (("deep", narrow), ("wide", broad)))
    yield f"| {AXIS.told(language)} | {' | '.join(shapes)} | {AHEAD.told(language)} | {BY.told(language)} |"
    yield "|---|---:|---:|---|---:|"
    for axis in AXES:
        told = TOLD[axis]
        cells = (_cell(told, narrow), _cell(told, broad), WHO[winner(size, axis)].told(language), _by(size, axis))
        yield f"| {AXES[axis].told(language)} | {' | '.join(cells)} |"


def _shape(of: Shape) -> str:
    return f": {of.layers} × {of.hidden:,}, {units.count(of.parameters)}"


def _cell(told: Axis, of: Shape) -> str:
    middle = told.spell(getattr(of, told.field))
    if told.spread is None:
        return middle
    low, high = (told.spell(getattr(of, end)) for end in told.spread)
    return f"{middle} ({low} … {high})"


def _by(size: str, axis: str) -> str:
    """By how much the winner is ahead: nats of the loss, else the share that it is less, or more."""
    if winner(size, axis) == "tie":
        return ""
    if axis == "loss":
        return _nats(verdict_on(size, axis).difference)
    values = [getattr(shape, TOLD[axis].field) for shape in (deep(size), wide(size))]
    return f"{max(values) / min(values):.2f}×"


def _ffn(language: str) -> Iterator[str]:
    """What half and twice the FFN change at equal parameters, at three sizes."""
    yield f"| {FFN_HEADS.told(language).replace('|', ' | ')} |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for size in SIZES:
        for label in ("ffn × 1/2", "ffn × 2"):
            own = other(size, label)
            tie = f" ({WHO['tie'].told(language)})" if own.tie else ""
            changes = (f"{own.changes[name]:+.0%}" for name in ("decode", "prefill", "step"))
            nats = f"{own.loss_change or 0.0:+.3f}{tie} | {own.ffn_effect or 0.0:+.3f}"
            yield f"| {size}, {label} | {own.shape.layers} | {nats} | {' | '.join(changes)} |"


def _measured(language: str) -> Iterator[str]:
    """What the lab's own sweep over depth says, in the words of the claims book."""
    for id in MEASURED:
        entry, colon = answered(id), "：" if language == "zh" else ": "
        verdict = f"{VERDICTS[entry.verdict].told(language)}{colon}{entry.why.told(language)}"
        yield f"- **{id}** {entry.claim.says.told(language)} *{verdict}*"
