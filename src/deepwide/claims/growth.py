"""Document 000, growth: where the parameters are, and with what they grow."""

from __future__ import annotations

from deepwide.answers.count import count
from deepwide.answers.explain import explain
from deepwide.claims.claim import Finding, Source, among, claim, finding, near
from deepwide.claims.known import known, parameters_of, rows_of, transformers
from deepwide.claims.shapes import explained


@claim(
    "000-07",
    "The projections of Q, K and V together have 3·hidden²/heads parameters.",
    "Q、K、V 三个投影矩阵合计有 3·hidden²/heads 个参数。",
    source=Source.COUNTED,
    wrong=(
        "That is one head's: {one_head}. All {heads} heads of a layer of {model} have {counted}, which is 3·hidden².",
        "那只是一个头的参数量：{one_head}。{model} 每层全部 {heads} 个头共有 {counted}，即 3·hidden²。",
    ),
)
def projections_are_divided_by_the_heads() -> Finding:
    """Counted Q, K and V of one layer with as many KV heads as heads, against the formula."""
    own = known("llama-2-7b")
    counted = parameters_of(own.count, "query", "key", "value") // own.layers
    stated = 3 * own.hidden**2 // own.heads
    return finding(counted == stated, model=own.name, heads=own.heads, one_head=stated, counted=counted)


@claim(
    "000-08",
    "The embedding has vocabulary times hidden size parameters.",
    "嵌入层的参数量为词表大小乘以隐藏维度。",
    source=Source.COUNTED,
    holds=(
        "{model}: {counted} = {vocab} × {hidden}, to the last parameter.",
        "{model}：{counted} = {vocab} × {hidden}，分毫不差。",
    ),
)
def embedding_is_vocabulary_times_hidden() -> Finding:
    """The counted embedding of a model."""
    own = known("llama-2-7b")
    (row,) = rows_of(own.count, "tokens")
    vocab, hidden = row.shape
    return finding(
        row.parameters == vocab * own.hidden, model=own.name, counted=row.parameters, vocab=vocab, hidden=hidden
    )


@claim(
    "000-09",
    "The two matrices of an FFN have 8·hidden² parameters.",
    "FFN 的两个线性层共有 8·hidden² 个参数。",
    source=Source.COUNTED,
    when=(
        "It does where the FFN has no gate and is four times as wide: {plain} has {plain_squares} hidden². With a "
        "gate there are three matrices: {gated} {gated_squares} hidden², {wider} {wider_squares}.",
        "不带门控且为 4 倍宽时成立：{plain} 为 {plain_squares} hidden²。带门控时有三个矩阵："
        "{gated} 为 {gated_squares} hidden²，{wider} 为 {wider_squares}。",
    ),
)
def ffn_has_eight_hidden_squared() -> Finding:
    """Counted matrices of the FFN of one layer, in units of hidden²."""
    names = ("gpt2-xl", "llama-2-7b", "llama-3-8b")
    squares = [parameters_of(m.count, "gate", "up", "down") / m.layers / m.hidden**2 for m in map(known, names)]
    plain, gated, wider = squares
    return finding(
        among(near(each, 8, 0.001) for each in squares),
        plain=names[0],
        plain_squares=plain,
        gated=names[1],
        gated_squares=gated,
        wider=names[2],
        wider_squares=wider,
    )


@claim(
    "000-10",
    "The FFN is the part of a layer with the most parameters.",
    "FFN 是每层中参数量最大的部分。",
    source=Source.COUNTED,
    holds=(
        "In each of {models} published Transformers the FFNs have more parameters than attention; "
        "{share_of_layers_share} of both in the median.",
        "{models} 个已发表的 Transformer 中，FFN 的参数都多于注意力；两者之和中 FFN 占比的中位数为 "
        "{share_of_layers_share}。",
    ),
)
def ffn_is_the_largest_part() -> Finding:
    """Parameters of the FFNs and of attention, over the catalogue."""
    parts = [(m.count.parts["ffn"], m.count.parts["attention"]) for m in transformers()]
    shares = sorted(ffn / (ffn + attention) for ffn, attention in parts)
    return finding(
        among(ffn > attention for ffn, attention in parts),
        models=len(parts),
        share_of_layers_share=shares[len(shares) // 2],
    )


@claim(
    "000-11",
    "The embedding, too, grows with the square of the hidden size.",
    "嵌入层的参数量也与隐藏维度的平方成正比。",
    source=Source.COUNTED,
    wrong=(
        "It grows in proportion: with twice the hidden size the embedding is {embedding_ratio} as large, the FFNs "
        "{ffn_ratio}.",
        "嵌入层是线性增长：隐藏维度翻倍时，嵌入层为原来的 {embedding_ratio}，FFN 为 {ffn_ratio}。",
    ),
)
def embedding_grows_with_the_square() -> Finding:
    """A model and one with everything twice as wide."""
    narrow, wide = (count(f"gpt2,hidden={h},heads={h // 64},ffn={4 * h}") for h in (768, 1536))
    embedding = parameters_of(wide, "tokens") / parameters_of(narrow, "tokens")
    ffn = parameters_of(wide, "up", "down") / parameters_of(narrow, "up", "down")
    return finding(embedding == ffn, embedding_ratio=embedding, ffn_ratio=ffn)


@claim(
    "000-12",
    "More layers add parameters in proportion: the growth with depth is linear.",
    "参数量随层数线性增长。",
    source=Source.COUNTED,
    holds=(
        "From {layers} layers on, {model} gains {step} parameters with each further one, always the same.",
        "{model} 从 {layers} 层起，每加一层都增加 {step} 个参数，始终相同。",
    ),
)
def layers_add_in_proportion() -> Finding:
    """Three depths of one model: the second difference of a linear count is zero."""
    one, two, three = (count(f"llama-3-8b,layers={layers}").total for layers in (32, 33, 34))
    return finding(three - two == two - one, model="llama-3-8b", layers=32, step=two - one)


@claim(
    "000-13",
    "Parameters are proportional to the square of the hidden size.",
    "参数总量与隐藏维度的平方成正比。",
    source=Source.COUNTED,
    when=(
        "The layers are, embeddings and head are not: twice the hidden size makes {large} {large_ratio} as large, but "
        "{small} only {small_ratio}.",
        "各层如此，嵌入层与输出层则不然：隐藏维度翻倍时，{large} 为原来的 {large_ratio}，而 {small} 只有 "
        "{small_ratio}。",
    ),
)
def parameters_grow_with_the_square() -> Finding:
    """By what factor a model grows when its hidden size doubles."""
    names = {"large": "llama-3-70b", "small": "gpt2"}
    large, small = explained("70B"), explain(names["small"])
    grown = {"large_ratio": large.growth["if_hidden_doubles"], "small_ratio": small.growth["if_hidden_doubles"]}
    return finding(among(near(each, 4, 0.05) for each in grown.values()), **names, **grown)


@claim(
    "000-18",
    "Embedding and FFN are what makes large models large.",
    "嵌入层与 FFN 是大模型参数的主要来源。",
    source=Source.COUNTED,
    when=(
        "The FFN is ({ffn_share} of {large}), the embedding only in small models: {small_share} of {small}, but "
        "{large_share} of {large}.",
        "FFN 的确如此（占 {large} 的 {ffn_share}）；嵌入层只在小模型中占比大：{small} 为 {small_share}，{large} 仅 "
        "{large_share}。",
    ),
)
def embedding_is_a_main_part() -> Finding:
    """The share of the embedding in a small and in a large model; a tenth is a main part."""
    small, large = known("gpt2"), known("gpt-3-175b")
    shares = [m.count.parts["embedding"] / m.count.total for m in (small, large)]
    return finding(
        among(each >= 0.1 for each in shares),
        small=small.name,
        small_share=shares[0],
        large=large.name,
        large_share=shares[1],
        ffn_share=large.count.parts["ffn"] / large.count.total,
    )
