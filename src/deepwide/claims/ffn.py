"""Document 004, the FFN: gates, ratios, and what its width is said to hold."""

from __future__ import annotations

from deepwide.claims.claim import Finding, Source, Verdict, among, claim, finding, near
from deepwide.claims.known import known, middle, parameters_of, rows_of, share, transformers
from deepwide.claims.measured import measured

GATED = ("llama-2-7b", "llama-3-8b", "palm-540b")


@claim(
    "004-19",
    "A gated FFN such as SwiGLU has one projection more, and so more parameters.",
    "SwiGLU 等门控结构多一个投影矩阵，参数量随之增加。",
    source=Source.COUNTED,
    holds=(
        "{gated} has {gated_rows} matrices in its FFN, {plain} {plain_rows}: half as many again at the same width.",
        "{gated} 的 FFN 有 {gated_rows} 个矩阵，{plain} 有 {plain_rows} 个：同宽时多一半。",
    ),
)
def gates_add_a_matrix() -> Finding:
    """Matrices of the FFN of a model with and of one without a gate."""
    names = {"gated": "llama-2-7b", "plain": "gpt2-xl"}
    counts = {f"{kind}_rows": len(rows_of(known(name).count, "gate", "up", "down")) for kind, name in names.items()}
    return finding(counts["gated_rows"] == counts["plain_rows"] + 1, **names, **counts)


@claim(
    "004-20",
    "LLaMA and PaLM use SwiGLU.",
    "LLaMA、PaLM 使用 SwiGLU。",
    source=Source.CATALOGUE,
    holds=("{models} each have a gate.", "{models} 均带门控。"),
)
def llama_and_palm_are_gated() -> Finding:
    """Whether the catalogue's models have a gate."""
    return finding(all(known(name).gated for name in GATED), models=", ".join(GATED))


@claim(
    "004-21",
    "With a gate the FFN is 8/3 or 4 times as wide as the model.",
    "带门控时，FFN 宽度通常取隐藏维度的 8/3 或 4 倍。",
    source=Source.CATALOGUE,
    when=(
        "{usual_share} of {models} gated models lie within 5% of one of the two; the middle half reaches from "
        "{low_ratio} to {high_ratio}.",
        "{models} 个门控模型中，{usual_share} 与二者之一相差 5% 以内；中间一半的范围为 {low_ratio} 到 {high_ratio}。",
    ),
)
def gated_ratios() -> Finding:
    """The ratio of FFN to hidden size of all gated models without experts."""
    found = sorted(m.ffn / m.hidden for m in transformers() if m.gated)
    usual = [near(each, 8 / 3, 0.05) or near(each, 4, 0.05) for each in found]
    return finding(
        among(usual),
        models=len(found),
        usual_share=sum(usual) / len(usual),
        low_ratio=found[len(found) // 4],
        high_ratio=found[3 * len(found) // 4],
    )


@claim(
    "004-22",
    "A ratio of 8/3 gives a gated FFN the parameters of a plain one of 4.",
    "取 8/3 倍可使门控 FFN 的参数量与 4 倍普通 FFN 相当。",
    source=Source.COUNTED,
    holds=(
        "{model}, at {ratio}, has {squares} hidden² in the FFN of a layer; a plain one of 4 has 8.",
        "{model} 的比例为 {ratio}，每层 FFN 为 {squares} hidden²；4 倍普通 FFN 为 8。",
    ),
)
def gated_ratio_balances() -> Finding:
    """Counted FFN of a layer in units of hidden²; whole tiles leave it within 2%."""
    own = known("llama-2-7b")
    squares = parameters_of(own.count, "gate", "up", "down") / own.layers / own.hidden**2
    return finding(near(squares, 8, 0.02), model=own.name, ratio=own.ffn / own.hidden, squares=squares)


@claim(
    "004-23",
    "Gates make FFNs wider.",
    "门控结构推动 FFN 变得更宽。",
    source=Source.CATALOGUE,
    wrong=(
        "Narrower: the median of gated models is {gated_ratio} of the hidden size, of plain ones {plain_ratio}. "
        "What grows is their share of a layer, {gated_share} against {plain_share}, as grouped keys and values "
        "shrink attention.",
        "反而更窄：门控模型的中位数为隐藏维度的 {gated_ratio}，普通模型为 {plain_ratio}。变大的是 FFN 在每层中的占比"
        "（{gated_share} 对 {plain_share}），因为分组 K、V 缩小了注意力。",
    ),
)
def gates_make_ffns_wider() -> Finding:
    """Median ratio and share of the FFN, of gated and of plain models without experts."""
    dense = [m for m in transformers() if not rows_of(m.count, "expert_up")]
    numbers = {}
    for kind, gate in (("gated", True), ("plain", False)):
        found = [m for m in dense if m.gated is gate]
        numbers[f"{kind}_ratio"] = middle(found, lambda m: m.ffn / m.hidden)
        parts = [m.count.parts for m in found]
        shares = sorted(p["ffn"] / (p["ffn"] + p["attention"]) for p in parts)
        numbers[f"{kind}_share"] = shares[len(shares) // 2]
    return finding(numbers["gated_ratio"] > numbers["plain_ratio"], **numbers)


@claim(
    "004-24",
    "The FFN is a memory: keys that recognise patterns, values that write to the output.",
    "FFN 充当键值记忆：第一层识别模式（Key），第二层写出内容（Value）。",
    source=Source.MEASURED,
    holds=(
        "The first token of a value is the one that follows its key's strongest trigger {upper_agreement_share} of "
        "the time in the last layer and {lower_agreement_share} in the first; by chance {upper_chance_share} and "
        "{lower_chance_share}. {alike_share} of a key's triggers end alike.",
        "值所写出的首选 token 与其键最强触发之后的 token 一致：末层 {upper_agreement_share}，首层 "
        "{lower_agreement_share}；随机为 {upper_chance_share} 与 {lower_chance_share}。同一键的触发中有 "
        "{alike_share} 结尾相同。",
    ),
    when=(
        "In some layers: the first token of a value is the one that follows its key's strongest trigger "
        "{upper_agreement_share} of the time in the last layer and {lower_agreement_share} in the first; by chance "
        "{upper_chance_share} and {lower_chance_share}. {alike_share} of a key's triggers end alike.",
        "只在部分层成立：值所写出的首选 token 与其键最强触发之后的 token 一致的比例，末层 {upper_agreement_share}，"
        "首层 {lower_agreement_share}；随机为 {upper_chance_share} 与 {lower_chance_share}。同一键的触发中有 "
        "{alike_share} 结尾相同。",
    ),
    wrong=(
        "Not seen: the first token of a value is the one that follows its key's strongest trigger "
        "{upper_agreement_share} of the time in the last layer and {lower_agreement_share} in the first; by chance "
        "{upper_chance_share} and {lower_chance_share}.",
        "实测未见：值所写出的首选 token 与其键最强触发之后的 token 一致的比例，末层 {upper_agreement_share}，首层 "
        "{lower_agreement_share}；随机为 {upper_chance_share} 与 {lower_chance_share}。",
    ),
)
def ffn_is_a_memory() -> Finding:
    """How often values write what follows their keys' triggers, last and first layer; seen is twice chance."""
    run = measured("ffn-memory")
    ends = ("upper", "lower")
    shares = {name: run[name] for end in ends for name in (f"{end}_agreement_share", f"{end}_chance_share")}
    seen = (shares[f"{end}_agreement_share"] > 2 * shares[f"{end}_chance_share"] for end in ends)
    return finding(among(seen), **shares, alike_share=run["alike_share"])


@claim(
    "004-25",
    "The inner width of the FFN decides how many facts a model can store.",
    "FFN 中间维度决定模型能存储多少事实知识。",
    source=Source.NONE,
    unknown=(
        "Public runs measure a loss, not facts; {ffn_share} of the layers' parameters of {model} are in the FFNs, "
        "which says where facts could be, not how many.",
        "公开训练结果测的是损失而非事实量；{model} 各层参数的 {ffn_share} 在 FFN 中，这只说明事实可能在哪里，而非能"
        "存多少。",
    ),
)
def ffn_width_decides_facts() -> Finding:
    """The share of the FFNs in the layers of a model: no public data counts facts against it."""
    own = known("llama-3-8b")
    parts = own.count.parts
    return finding(Verdict.UNDECIDED, model=own.name, ffn_share=parts["ffn"] / (parts["ffn"] + parts["attention"]))


@claim(
    "004-26",
    "Leading models have wide FFNs: the larger part of each layer.",
    "领先模型的 FFN 较宽，占每层参数的大部分。",
    source=Source.CATALOGUE,
    holds=(
        "In {above_share} of {models} published models the FFN has more than half of the parameters of a layer.",
        "{models} 个已发表模型中，{above_share} 的 FFN 占每层参数一半以上。",
    ),
)
def ffns_are_wide() -> Finding:
    """The share of published models whose FFNs outweigh attention."""
    above = share(transformers(), lambda m: m.count.parts["ffn"] > m.count.parts["attention"])
    return finding(above > 0.9, above_share=above, models=len(transformers()))
