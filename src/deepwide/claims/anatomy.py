"""Document 002, counting: which matrices a Transformer has, and how many parameters each of them."""

from __future__ import annotations

from deepwide import units
from deepwide.answers.count import count
from deepwide.claims.claim import Finding, Source, Verdict, among, claim, finding, near
from deepwide.claims.known import between, known, parameters_of, rows_of, transformers

SMALL = "like=gpt2,layers=2,hidden=256,heads=4,vocab=1000"
NOMINAL = {"llama-2-7b": "7B", "mistral-7b": "7B", "llama-3-8b": "8B", "gemma-7b": "7B", "falcon-40b": "40B"}


@claim(
    "002-01",
    "A B stands for a billion parameters, so that a 7B model has seven billion.",
    "B 表示十亿参数，7B 即 70 亿参数。",
    source=Source.CATALOGUE,
    when=(
        "As a rounded name: {within} of {models} models are within 5% of it; {example} has {total}.",
        "只是取整后的称呼：{models} 个模型中 {within} 个与名称相差 5% 以内；{example} 实有 {total}。",
    ),
)
def a_b_is_a_billion() -> Finding:
    """Counted parameters against the number in the name."""
    close = [near(known(name).count.total, units.parse_count(said), 0.05) for name, said in NOMINAL.items()]
    example = known("gemma-7b")
    return finding(among(close), models=len(close), within=sum(close), example=example.name, total=example.count.total)


@claim(
    "002-02",
    "The parameters of a model are the elements of all its trained matrices added up.",
    "模型总参数量就是所有可训练参数矩阵的元素个数之和。",
    source=Source.COUNTED,
    holds=(
        "{model}: {rows} kinds of weights add up to {total}, to the last element.",
        "{model}：{rows} 种权重相加得 {total}，一个元素不差。",
    ),
)
def parameters_are_elements() -> Finding:
    """The sum of the elements of every weight against the total."""
    own = known("llama-3-8b").count
    summed = sum(row.parameters for row in own.rows if not row.tied)
    return finding(summed == own.total, model=own.model, rows=len(own.rows), total=own.total)


@claim(
    "002-03",
    "Learned position embeddings count as parameters.",
    "可训练的位置嵌入计入参数量。",
    source=Source.COUNTED,
    holds=(
        "{model} has {counted} of them: {context} positions of {hidden}.",
        "{model} 的位置嵌入为 {counted}：{context} 个位置，每个 {hidden} 维。",
    ),
)
def learned_positions_count() -> Finding:
    """The position rows of a model that learns them."""
    own = known("gpt2")
    (row,) = rows_of(own.count, "positions")
    context, hidden = row.shape
    return finding(
        row.parameters == context * hidden > 0, model=own.name, counted=row.parameters, context=context, hidden=hidden
    )


@claim(
    "002-04",
    "Sinusoidal positions are fixed and do not count.",
    "正弦位置编码是固定值，不计入参数量。",
    source=Source.COUNTED,
    holds=(
        "The same model has {learned} position parameters when they are learned, {sinusoidal} when they are "
        "sinusoidal, {rotary} when rotary.",
        "同一模型：可训练位置 {learned} 个参数，正弦 {sinusoidal} 个，旋转 {rotary} 个。",
    ),
)
def sinusoidal_positions_do_not_count() -> Finding:
    """Position parameters of one small model with three kinds of positions."""
    kinds = ("learned", "sinusoidal", "rotary")
    own = {kind: count(f"{SMALL},positions={kind}").parts["position"] for kind in kinds}
    return finding(own["sinusoidal"] == 0 < own["learned"], **own)


@claim(
    "002-05",
    "Q, K and V of one head have 3·hidden·head_dim parameters.",
    "单个注意力头的 Q、K、V 参数量为 3·hidden·head_dim。",
    source=Source.COUNTED,
    holds=(
        "{counted} in each of the {heads} heads of {model}.",
        "{model} 的 {heads} 个头，每个为 {counted}。",
    ),
)
def one_head() -> Finding:
    """Counted Q, K and V of a layer over its heads."""
    own = known("llama-2-7b")
    counted = parameters_of(own.count, "query", "key", "value") // own.layers // own.heads
    return finding(counted == 3 * own.hidden * own.head_dim, counted=counted, heads=own.heads, model=own.name)


@claim(
    "002-06",
    "All heads together have heads times as many: heads·3·hidden·head_dim.",
    "多头合计为 heads·3·hidden·head_dim。",
    source=Source.COUNTED,
    when=(
        "Where each head has keys and values of its own, as in {multi}. {grouped} shares each KV head among "
        "{group} heads and has {kept_share} of it.",
        "当每个头有自己的 K、V 时成立，如 {multi}。{grouped} 让 {group} 个头共用一组 K、V，只有其 {kept_share}。",
    ),
)
def all_heads() -> Finding:
    """Counted Q, K and V of multi-head and of grouped-query attention, as shares of the formula."""
    multi, grouped = known("llama-2-7b"), known("llama-3-8b")
    shares = [
        parameters_of(m.count, "query", "key", "value") / (m.layers * m.heads * 3 * m.hidden * m.head_dim)
        for m in (multi, grouped)
    ]
    (keys,) = rows_of(grouped.count, "key")
    group = grouped.hidden // keys.shape[1]
    return finding(
        among(each == 1 for each in shares), multi=multi.name, grouped=grouped.name, group=group, kept_share=shares[1]
    )


@claim(
    "002-07",
    "The projection after attention adds heads·head_dim·hidden parameters.",
    "注意力输出投影另有 heads·head_dim·hidden 个参数。",
    source=Source.COUNTED,
    holds=(
        "{counted} in each layer of {model}, whose hidden size is not heads × head_dim.",
        "{model} 每层为 {counted}，其隐藏维度并不等于 heads × head_dim。",
    ),
)
def output_projection() -> Finding:
    """The counted projection of a model where the formula's factors differ."""
    own = known("mistral-nemo-12b")
    counted = sum(row.parameters for row in rows_of(own.count, "output") if row.part == "attention") // own.layers
    return finding(counted == own.heads * own.head_dim * own.hidden, counted=counted, model=own.name)


@claim(
    "002-08",
    "The FFN is two linear layers with a ReLU between them.",
    "FFN 由两个线性层和中间的 ReLU 组成。",
    source=Source.CATALOGUE,
    when=(
        "In the first Transformers. Of {models} published models {gated} have a third matrix, the gate; of those "
        "since 2023 {recent_share}.",
        "早期 Transformer 如此。{models} 个已发表模型中 {gated} 个还有第三个矩阵（门控）；2023 年以来的占 "
        "{recent_share}。",
    ),
)
def ffn_has_two_layers() -> Finding:
    """How many published models have a gate in the FFN."""
    found = transformers()
    recent = [m.gated for m in found if m.year >= 2023]
    gated = sum(m.gated for m in found)
    return finding(
        among(not m.gated for m in found), models=len(found), gated=gated, recent_share=sum(recent) / len(recent)
    )


@claim(
    "002-09",
    "A normalisation has two vectors of the hidden size, gain and bias.",
    "每个归一化层有 gamma 与 beta 两个参数，共 2·hidden。",
    source=Source.COUNTED,
    when=(
        "LayerNorm does ({layer} of {layer_hidden} in {layer_model}); RMSNorm has the gain alone ({rms} of "
        "{rms_hidden} in {rms_model}).",
        "LayerNorm 如此（{layer_model}：{layer}，hidden {layer_hidden}）；RMSNorm 只有增益（{rms_model}：{rms}，"
        "hidden {rms_hidden}）。",
    ),
)
def norm_has_two_vectors() -> Finding:
    """Parameters of the last norm of two models."""
    layer, rms = known("gpt2"), known("llama-3-8b")
    last = [sum(r.parameters for r in m.count.rows if "final_norm" in r.name) for m in (layer, rms)]
    return finding(
        among(n == 2 * m.hidden for n, m in zip(last, (layer, rms), strict=True)),
        layer=last[0],
        layer_hidden=layer.hidden,
        layer_model=layer.name,
        rms=last[1],
        rms_hidden=rms.hidden,
        rms_model=rms.name,
    )


@claim(
    "002-10",
    "The output layer adds hidden times vocabulary parameters.",
    "输出层另有 hidden·vocab 个参数。",
    source=Source.COUNTED,
    when=(
        "Where it is not tied to the embedding: {untied} has {untied_head} in it, {tied} none of its own "
        "({tied_head}).",
        "未与嵌入层共享时成立：{untied} 为 {untied_head}；{tied} 共享嵌入，自身为 {tied_head}。",
    ),
)
def output_layer_adds() -> Finding:
    """The head of a model that ties it and of one that does not."""
    untied, tied = (known(name).count for name in ("llama-3-8b", "gpt2"))
    heads = [m.parts["head"] for m in (untied, tied)]
    return finding(
        among(each > 0 for each in heads),
        untied=untied.model,
        untied_head=heads[0],
        tied=tied.model,
        tied_head=heads[1],
    )


@claim(
    "002-11",
    "The 175 billion of GPT-3 are the sum of its matrices.",
    "GPT-3 的 1750 亿参数是各参数矩阵元素之和。",
    source=Source.COUNTED,
    holds=(
        "{layers} layers of {hidden} make {total}: the rounded name is {off_share} off.",
        "{layers} 层、宽 {hidden}，合计 {total}，与取整名称相差 {off_share}。",
    ),
)
def gpt3_is_its_matrices() -> Finding:
    """The count of the shape that the paper states."""
    own = known("gpt-3-175b")
    off = abs(own.count.total / 175e9 - 1)
    return finding(off < 0.005, layers=own.layers, hidden=own.hidden, total=own.count.total, off_share=off)


@claim(
    "002-12",
    "A bias adds as many parameters as a layer has outputs.",
    "偏置项的参数个数等于该层的输出维度。",
    source=Source.COUNTED,
    holds=(
        "A layer from 768 to 3,072 has {biased} parameters with a bias, {plain} without: {bias} more.",
        "768 到 3072 的线性层：有偏置 {biased}，无偏置 {plain}，相差 {bias}。",
    ),
)
def bias_has_the_outputs() -> Finding:
    """One linear layer counted with its bias, and its matrix alone."""
    own = count("linear=768x3072")
    bias = parameters_of(own, "bias")
    return finding(bias == 3072, biased=own.total, plain=own.total - bias, bias=bias)


@claim(
    "002-13",
    "The total is about layers times the parameters of a layer, plus embedding and output.",
    "总参数约等于层数乘以单层参数，再加嵌入层与输出层。",
    source=Source.COUNTED,
    holds=(
        "{model}: {layers} × {layer} + {outside} = {total}, exactly.",
        "{model}：{layers} × {layer} + {outside} = {total}，完全相等。",
    ),
)
def total_is_layers_and_ends() -> Finding:
    """One layer as the difference of two depths, embedding and head as counted; what is left is the last norm."""
    own = known("llama-3-8b")
    layer = count("llama-3-8b,layers=33").total - own.count.total
    outside = own.count.parts["embedding"] + own.count.parts["head"] + parameters_of(own.count, "final_norm")
    return finding(
        own.layers * layer + outside == own.count.total,
        model=own.name,
        layers=own.layers,
        layer=layer,
        outside=outside,
        total=own.count.total,
    )


@claim(
    "002-14",
    "Layers are not parameters: the width decides as well.",
    "层数不等于参数量，还取决于宽度等因素。",
    source=Source.CATALOGUE,
    holds=(
        "Models of {layers} layers have from {fewest} to {most} parameters.",
        "同为 {layers} 层的模型，参数量从 {fewest} 到 {most}。",
    ),
)
def layers_are_not_parameters() -> Finding:
    """The sizes of all published models with as many layers as Llama 3 8B."""
    totals = [m.count.total for m in between(0, 1e13) if m.layers == 32]
    verdict = Verdict.HOLDS if max(totals) > 2 * min(totals) else Verdict.WRONG
    return finding(verdict, layers=32, fewest=min(totals), most=max(totals))
