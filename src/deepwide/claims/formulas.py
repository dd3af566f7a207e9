"""Document 003, formulae: what its rough counts get right and wrong."""

from __future__ import annotations

from deepwide.answers.count import count
from deepwide.answers.explain import explain
from deepwide.claims.claim import Finding, Source, among, claim, finding, near
from deepwide.claims.known import known, parameters_of, rows_of, transformers

EXAMPLE = "like=llama,layers=12,hidden=768,heads=12,ffn=3072,vocab=50000,positions=none,norm=layer,plain,tied"


@claim(
    "003-11",
    "A vocabulary of 50,000 at a width of 768 takes about 38 million parameters.",
    "词表 50,000、维度 768 的嵌入层约有 3800 万参数。",
    source=Source.COUNTED,
    holds=("{counted}.", "{counted} 个。"),
)
def embedding_of_the_example() -> Finding:
    """The counted embedding of the document's example."""
    counted = count(EXAMPLE).parts["embedding"]
    return finding(near(counted, 38e6, 0.02), counted=counted)


@claim(
    "003-12",
    "Attention has about 4·hidden² parameters in a layer.",
    "每层注意力约有 4·hidden² 个参数。",
    source=Source.COUNTED,
    when=(
        "With keys and values for each head: {multi} has {multi_squares} hidden². Grouped keys and values make it "
        "fewer: {grouped} {grouped_squares}.",
        "每个头都有自己的 K、V 时成立：{multi} 为 {multi_squares} hidden²。分组共享时更少：{grouped} 为 "
        "{grouped_squares}。",
    ),
)
def attention_has_four_hidden_squared() -> Finding:
    """Counted attention of one layer in units of hidden²."""
    names = ("llama-2-7b", "llama-3-8b")
    squares = [m.count.parts["attention"] / m.layers / m.hidden**2 for m in map(known, names)]
    return finding(
        among(near(each, 4, 0.05) for each in squares),
        multi=names[0],
        multi_squares=squares[0],
        grouped=names[1],
        grouped_squares=squares[1],
    )


@claim(
    "003-13",
    "An FFN has 2·hidden·ffn parameters, about 8·hidden².",
    "FFN 的参数量为 2·d·d_ff，约 8·d²。",
    source=Source.COUNTED,
    when=(
        "Without a gate ({plain_factor} matrices in {plain}); with one there are {gated_factor} in {gated}, and "
        "8·hidden² comes out only at a ratio of 8/3.",
        "不带门控时成立（{plain} 有 {plain_factor} 个矩阵）；带门控的 {gated} 有 {gated_factor} 个，只有在 8/3 倍宽"
        "时才恰为 8·d²。",
    ),
)
def ffn_has_two_matrices() -> Finding:
    """Counted matrices of one layer's FFN in units of hidden·ffn."""
    plain, gated = known("gpt2-xl"), known("llama-3-8b")
    factors = [parameters_of(m.count, "gate", "up", "down") / m.layers / m.hidden / m.ffn for m in (plain, gated)]
    return finding(
        among(each == 2 for each in factors),
        plain=plain.name,
        plain_factor=factors[0],
        gated=gated.name,
        gated_factor=factors[1],
    )


@claim(
    "003-14",
    "The total is about embedding plus layers times (attention + FFN + norms).",
    "总参数约为词嵌入加上 N 倍的（注意力 + FFN + 归一化）。",
    source=Source.COUNTED,
    when=(
        "Where the head is tied: it misses {tied_share} of {tied}, but {untied_share} of {untied}, which is its "
        "output head.",
        "输出层与嵌入共享时成立：{tied} 只漏 {tied_share}，而 {untied} 漏 {untied_share}，即输出层。",
    ),
)
def total_without_a_head() -> Finding:
    """What the formula misses of two models; about is within 2%."""
    missed = {}
    for kind, name in (("tied", "gpt2-xl"), ("untied", "llama-3-8b")):
        parts = known(name).count.parts
        missed[kind] = 1 - sum(parts[p] for p in ("embedding", "attention", "ffn", "norm")) / known(name).count.total
    return finding(
        among(each < 0.02 for each in missed.values()),
        tied="gpt2-xl",
        tied_share=missed["tied"],
        untied="llama-3-8b",
        untied_share=missed["untied"],
    )


@claim(
    "003-15",
    "Most parameters lie in the FFNs and in attention.",
    "大部分参数集中在 FFN 和注意力中。",
    source=Source.COUNTED,
    when=(
        "In {above_share} of {models} published models. Where the vocabulary is large and the model small they do "
        "not: {least_share} of {least}.",
        "{models} 个已发表模型中 {above_share} 如此。词表大而模型小时则不然：{least} 中只占 {least_share}。",
    ),
)
def layers_hold_most_parameters() -> Finding:
    """The share of FFNs and attention in all published Transformers."""
    shares = {m.name: (m.count.parts["attention"] + m.count.parts["ffn"]) / m.count.total for m in transformers()}
    least = min(shares, key=lambda name: shares[name])
    above = [each > 0.5 for each in shares.values()]
    return finding(
        among(above), models=len(shares), above_share=sum(above) / len(above), least=least, least_share=shares[least]
    )


@claim(
    "003-16",
    "Parameters grow with the square of the width and with the square of the number of layers.",
    "参数量随层数 N 与宽度 d 呈二次方增长。",
    source=Source.COUNTED,
    wrong=(
        "Quadratic in the width, linear in the layers: doubling the one makes {model} {hidden_ratio} as large, "
        "doubling the other {layers_ratio}. The embedding is linear in the width and does not know the layers.",
        "对宽度是二次，对层数是线性：{model} 宽度翻倍为 {hidden_ratio}，层数翻倍为 {layers_ratio}。嵌入层对宽度线性，"
        "与层数无关。",
    ),
)
def growth_is_quadratic_in_both() -> Finding:
    """By what factor a model grows when its width, or its depth, doubles; quadratic is more than three times."""
    grown = explain("llama-3-70b").growth
    ratios = {"hidden_ratio": grown["if_hidden_doubles"], "layers_ratio": grown["if_layers_double"]}
    both = all(each > 3 for each in ratios.values())
    return finding(both, model="llama-3-70b", **ratios)


@claim(
    "003-17",
    "A linear layer from 768 to 3,072 has 2,362,368 parameters.",
    "768 到 3072 的线性层有 2,362,368 个参数。",
    source=Source.COUNTED,
    holds=("{matrix} in the matrix and {bias} in the bias: {total}.", "矩阵 {matrix}，偏置 {bias}，合计 {total}。"),
)
def linear_layer_of_the_example() -> Finding:
    """The counted layer."""
    own = count("linear=768x3072")
    bias = parameters_of(own, "bias")
    return finding(own.total == 2_362_368, matrix=own.total - bias, bias=bias, total=own.total)


@claim(
    "003-18",
    "In the example model an FFN counts 2·d·d_ff + 2·d_ff·d.",
    "示例模型中 FFN 按 2·d·d_ff + 2·d_ff·d 计数。",
    source=Source.COUNTED,
    wrong=(
        "It counts each matrix twice: {printed} parameters are printed where {counted} are right. An FFN has "
        "{matrices} matrices without a gate.",
        "每个矩阵被数了两次：打印出的总数为 {printed}，正确值为 {counted}。不带门控的 FFN 只有 {matrices} 个矩阵。",
    ),
)
def ffn_of_the_example() -> Finding:
    """The counted example, and the same with its FFN once more and one norm a layer, as the document adds up."""
    own, layers = count(EXAMPLE), 12
    norm = parameters_of(own, "norm.gain", "norm.bias") // layers
    printed = own.total + own.parts["ffn"] - own.parts["norm"] + layers * norm // 2
    return finding(
        printed == own.total, printed=printed, counted=own.total, matrices=len(rows_of(own, "gate", "up", "down"))
    )


@claim(
    "003-19",
    "A layer has one normalisation of 2·d parameters.",
    "每层有一个归一化，共 2·d 个参数。",
    source=Source.COUNTED,
    wrong=(
        "Two, one before attention and one before the FFN: {counted} parameters at a width of {hidden}, and one "
        "more after the last layer.",
        "有两个，注意力与 FFN 各一个：宽度 {hidden} 时每层 {counted}，末层之后还有一个。",
    ),
)
def layer_has_one_norm() -> Finding:
    """Counted norms of one layer of GPT-2."""
    own = known("gpt2")
    counted = sum(r.parameters for r in own.count.rows if r.part == "norm" and r.repeat > 1) // own.layers
    return finding(counted == 2 * own.hidden, counted=counted, hidden=own.hidden)
