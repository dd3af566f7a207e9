"""The words that the book is made of, in both of its languages, and how its numbers are spelled."""

from __future__ import annotations

from collections.abc import Callable

from deepwide import units
from deepwide.claims.claim import Number, Source, Text, Verdict
from deepwide.errors import BadInput

LANGUAGES = ("en", "zh")
DOCUMENTS = {
    "000": Text("Why is the hidden size of a 10B model so large?", "百亿参数模型的隐藏维度为什么这么大？"),
    "001": Text("Few large layers or many small ones?", "层少而宽，还是层多而窄？"),
    "002": Text("What parameters are, and what they take", "参数是什么，占多少资源"),
    "003": Text("Parameters of large language models: scale, kinds, training", "大模型的参数：规模、种类与训练"),
    "004": Text("Why a wider FFN rather than more layers?", "为什么选更宽的 FFN 而不是更多的层？"),
}
VERDICTS = {
    Verdict.HOLDS: Text("holds", "成立"),
    Verdict.WHEN: Text("holds when …", "有条件成立"),
    Verdict.WRONG: Text("wrong", "不成立"),
    Verdict.UNDECIDED: Text("not decidable from public data", "公开数据无法判定"),
}
MARKS = {Verdict.HOLDS: "✓", Verdict.WHEN: "◐", Verdict.WRONG: "✗", Verdict.UNDECIDED: "?"}
COLOURS = {Verdict.HOLDS: "green", Verdict.WHEN: "yellow", Verdict.WRONG: "red", Verdict.UNDECIDED: "bright_black"}
SHORT = {"holds": Verdict.HOLDS, "when": Verdict.WHEN, "wrong": Verdict.WRONG, "undecided": Verdict.UNDECIDED}
SOURCES = {
    Source.COUNTED: Text("exact count of the model's own rows", "按模型逐项精确计数"),
    Source.CATALOGUE: Text("catalogue of published models, each with its source", "已发表模型目录，每行附来源"),
    Source.MEMORY: Text(
        "exact bytes of weights and caches, estimated working memory", "权重与缓存字节精确，工作内存为估计"
    ),
    Source.TIMED: Text("cost model fitted on measured kernels and engines", "以实测算子与引擎拟合的耗时模型"),
    Source.LAW: Text("law of the loss of shapes, fitted on public runs", "以公开训练结果拟合的形状损失定律"),
    Source.BILLED: Text("predicted time, with dated prices and grids", "预测时间，加注明日期的价格与电网数据"),
    Source.MEASURED: Text("an experiment of the lab, real training", "实验室实测，真实训练"),
    Source.NONE: Text("nothing public", "无公开数据"),
}
UNMEASURED = Text("Not measured yet: run {command}.", "尚未实测：请运行 {command}。")
UNEXPLAINED = Text(
    "The numbers no longer give the verdict that the text explains.", "数字已给出另一种判定，说明文字尚未更新。"
)


def document(name: str) -> str:
    """The document of that number; BadInput names them all."""
    found = name.strip().zfill(3)
    if found not in DOCUMENTS:
        raise BadInput(f"document={name!r} is none of {', '.join(DOCUMENTS)}")
    return found


def verdict(word: str) -> Verdict:
    """The verdict of a short word such as `when`, or in full; BadInput names them all."""
    known = {**SHORT, **{str(each): each for each in Verdict}}
    if word not in known:
        raise BadInput(f"verdict={word!r} is none of {', '.join(SHORT)}")
    return known[word]


def spelled(name: str, value: Number, language: str = "en") -> str:
    """A number as its name says: bytes, seconds, FLOP, shares, ratios, nats; whole numbers in full.

    >>> spelled("decode_ratio", 1.79)
    '1.79×'
    """
    if isinstance(value, str):
        return value
    for ending, spell in ENDINGS.items():
        if name.endswith(ending):
            return _local(spell(value), language)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"


def _percent(value: float) -> str:
    return f"{100 * value:.2g}%" if abs(value) < 0.1 else f"{value:.0%}"


def _ratio(value: float) -> str:
    if 0 < value < 0.01:
        return f"1/{1 / value:,.0f}"
    return f"{value:,.0f}×" if value >= 100 else f"{value:.3g}×" if value >= 10 else f"{value:.2f}×"


def _energy(value_kwh: float) -> str:
    return f"{value_kwh / 1000:,.3g} MWh" if value_kwh >= 1000 else f"{value_kwh:.3g} kWh"


def _mass(value_kg: float) -> str:
    return f"{value_kg / 1000:,.3g} t" if value_kg >= 1000 else f"{value_kg:.3g} kg"


def _local(text: str, language: str) -> str:
    if language != "zh":
        return text
    return text.replace(" days", " 天").replace(" nats", " nat").replace("×", " 倍")


ENDINGS: dict[str, Callable[[float], str]] = {
    "_bytes": units.size,
    "_flops": units.flops,
    "_change_share": lambda value: f"{value:+.0%}",
    "_share": _percent,
    "_ratio": _ratio,
    "_change_nats": lambda value: f"{value:+.3f} nats",
    "_nats": lambda value: f"{value:.3f} nats",
    "_usd": lambda value: f"${value:,.0f}",
    "_kwh": _energy,
    "_kg": _mass,
    "_tokens": lambda value: units.count(value).replace(".00", ""),
    "_s": units.duration,
}
