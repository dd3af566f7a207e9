"""Document 002, resources: what parameters take of memory, and what is fixed and what varies when a model runs."""

from __future__ import annotations

from deepwide.answers.inference import predict_inference
from deepwide.answers.memory import memory
from deepwide.claims.claim import Finding, Source, Verdict, among, claim, finding, near
from deepwide.claims.known import BILLION, known
from deepwide.claims.measured import measured

GB = 10**9
CARD, SERVER = "rtx-3060-12gb", "h100"
MODEL = "llama-2-13b"
FLUENT_TOKENS_PER_S = 10  # twice as fast as people read
FAMILY = ("llama-2-7b", "llama-2-13b", "llama-2-70b")


def _bytes_per_parameter(weights: str) -> float:
    return memory(MODEL, on=SERVER, weights=weights).weights_bytes / known(MODEL).count.total


@claim(
    "002-15",
    "FP32 takes about 4 GB for a billion parameters.",
    "FP32 每十亿参数约占 4GB。",
    source=Source.MEMORY,
    holds=("{per_billion} GB for each billion of {model}.", "{model} 每十亿参数 {per_billion} GB。"),
)
def bytes_of_fp32() -> Finding:
    """Bytes of a model's weights over its parameters."""
    own = _bytes_per_parameter("fp32")
    return finding(near(own, 4, 0.02), per_billion=own * BILLION / GB, model=MODEL)


@claim(
    "002-16",
    "FP16 takes about 2 GB for a billion parameters.",
    "FP16 每十亿参数约占 2GB。",
    source=Source.MEMORY,
    holds=("{per_billion} GB for each billion of {model}.", "{model} 每十亿参数 {per_billion} GB。"),
)
def bytes_of_fp16() -> Finding:
    """Bytes of a model's weights over its parameters."""
    own = _bytes_per_parameter("fp16")
    return finding(near(own, 2, 0.02), per_billion=own * BILLION / GB, model=MODEL)


@claim(
    "002-17",
    "INT8 takes about 1 GB for a billion parameters.",
    "INT8 每十亿参数约占 1GB。",
    source=Source.MEMORY,
    holds=(
        "{per_billion} GB for each billion of {model}: scales, embedding and norms make {off_share} more.",
        "{model} 每十亿参数 {per_billion} GB：缩放系数、嵌入层与归一化多出 {off_share}。",
    ),
)
def bytes_of_int8() -> Finding:
    """Bytes of a model's weights over its parameters, scales and what stays in 16 bits included."""
    own = _bytes_per_parameter("int8")
    return finding(near(own, 1, 0.05), per_billion=own * BILLION / GB, model=MODEL, off_share=own - 1)


@claim(
    "002-18",
    "INT4 takes about 0.5 GB for a billion parameters.",
    "INT4 每十亿参数约占 0.5GB。",
    source=Source.MEMORY,
    when=(
        "Without what the rule forgets: {large} has {large_per_billion} GB for a billion, {small} "
        "{small_per_billion}, because scales of groups come on top, and the embedding and the head stay in 16 bits.",
        "忽略附加开销时成立：{large} 每十亿参数 {large_per_billion} GB，{small} 为 {small_per_billion} GB，"
        "因为还有分组缩放系数，且嵌入层与输出层保持 16 位。",
    ),
)
def bytes_of_int4() -> Finding:
    """Bytes of the weights of two models over their parameters; about is within a tenth."""
    names = {"small": "llama-3.2-1b", "large": "llama-2-70b"}
    per = {k: memory(n, on=SERVER, weights="int4").weights_bytes / known(n).count.total for k, n in names.items()}
    return finding(
        among(near(each, 0.5, 0.1) for each in per.values()),
        **names,
        **{f"{k}_per_billion": each * BILLION / GB for k, each in per.items()},
    )


@claim(
    "002-19",
    "A card of 12 GB such as the RTX 3060 runs a 13B model in INT4 smoothly.",
    "12GB 显存（如 RTX 3060）在 INT4 量化下可流畅运行 13B 模型。",
    source=Source.MEMORY,
    when=(
        "Up to a context of {longest} tokens, beyond the {own} that {model} was made for: at {own} it takes "
        "{total_bytes} of {capacity_bytes}. It writes {speed} tokens a second ({low} to {high}).",
        "在上下文不超过 {longest} 个 token 时成立（{model} 自身上限为 {own}）：{own} 时占 {total_bytes}，容量 "
        "{capacity_bytes}。速度约每秒 {speed} 个 token（{low} 到 {high}）。",
    ),
)
def thirteen_billion_on_twelve_gigabytes() -> Finding:
    """Memory by context on that card, and the time of a token; smooth is faster than people read."""
    asked = memory(MODEL, on=CARD, weights="int4")
    told = predict_inference(MODEL, on=CARD, weights="int4")
    slow, fast = 1 / told.high["decode_s_per_token"], 1 / told.low["decode_s_per_token"]
    fits = among([asked.fits, memory(MODEL, on=CARD, weights="int4", context=4 * 4096).fits])
    return finding(
        fits if slow > FLUENT_TOKENS_PER_S else Verdict.WRONG,
        model=MODEL,
        longest=asked.memory_context,
        own=asked.max_context,
        total_bytes=asked.total_bytes,
        capacity_bytes=asked.capacity_bytes,
        speed=1 / told.decode_s_per_token,
        low=slow,
        high=fast,
    )


@claim(
    "002-20",
    "The number of parameters decides how much memory is needed.",
    "参数规模决定显存占用。",
    source=Source.MEMORY,
    when=(
        "With one short sequence: the weights of {model} are {short_share} of all with {short} tokens, "
        "{long_share} with {batch} sequences of {long}: there the KV cache decides.",
        "仅在单条短序列时成立：{model} 的权重在 {short} 个 token 时占 {short_share}，而在 {batch} 条 {long} 长的序"
        "列时只占 {long_share}，此时由 KV 缓存决定。",
    ),
)
def parameters_decide_memory() -> Finding:
    """The share of the weights in all that is held, for a short and for a long and wide load."""
    loads = ({"context": 512, "batch": 1}, {"context": 4096, "batch": 32})
    shares = [(m := memory(MODEL, on=SERVER, **load)).weights_bytes / m.total_bytes for load in loads]
    return finding(
        among(each > 0.5 for each in shares),
        model=MODEL,
        short=512,
        short_share=shares[0],
        batch=32,
        long=4096,
        long_share=shares[1],
    )


@claim(
    "002-21",
    "Quantising to INT4 lowers the memory of a model by much.",
    "INT4 等量化技术可大幅降低显存占用。",
    source=Source.MEMORY,
    holds=(
        "The weights of {model} take {before_bytes} in 16 bits and {after_bytes} in 4: {smaller_ratio} smaller.",
        "{model} 的权重 16 位占 {before_bytes}，是 4 位（{after_bytes}）的 {smaller_ratio}。",
    ),
)
def int4_saves_memory() -> Finding:
    """Bytes of the weights in 16 and in 4 bits; much is more than three times."""
    before, after = (memory(MODEL, on=SERVER, weights=kind).weights_bytes for kind in ("bf16", "int4"))
    return finding(
        before > 3 * after, model=MODEL, before_bytes=before, after_bytes=after, smaller_ratio=before / after
    )


@claim(
    "002-22",
    "Quantised, a larger model runs on the same card.",
    "量化后，同一张显卡可以运行更大的模型。",
    source=Source.MEMORY,
    holds=(
        "Of {models}, {before} fit {card} in 16 bits, {after} in 4 bits.",
        "{models} 中，{card} 在 16 位下可放下 {before} 个，4 位下可放下 {after} 个。",
    ),
)
def quantised_models_fit_smaller_cards() -> Finding:
    """How many of one family fit in 16 and in 4 bits."""
    before, after = (sum(memory(n, on=CARD, weights=kind).fits for n in FAMILY) for kind in ("bf16", "int4"))
    return finding(after > before, card=CARD, models=", ".join(FAMILY), before=before, after=after)


@claim(
    "002-23",
    "Weights in INT4 work about as well as before.",
    "INT4 量化后模型仍能正常工作，性能基本不变。",
    source=Source.MEASURED,
    holds=(
        "A trained model goes from {before_nats} to {int8_nats} in INT8 and to {int4_nats} in INT4.",
        "实测模型的损失由 {before_nats} 变为 INT8 的 {int8_nats} 与 INT4 的 {int4_nats}。",
    ),
    when=(
        "In INT8: a trained model goes from {before_nats} to {int8_nats}; in INT4 to {int4_nats}.",
        "INT8 成立：实测模型的损失由 {before_nats} 变为 {int8_nats}；INT4 则为 {int4_nats}。",
    ),
    wrong=(
        "A trained model goes from {before_nats} to {int8_nats} in INT8 and to {int4_nats} in INT4.",
        "实测模型的损失由 {before_nats} 变为 INT8 的 {int8_nats} 与 INT4 的 {int4_nats}。",
    ),
)
def int4_keeps_the_loss() -> Finding:
    """Held-out loss of a trained model before and after; about as well is within 1%."""
    run = measured("quantise")
    before, int8, int4 = (run[f"{name}_loss"] for name in ("before", "int8", "int4"))
    return finding(
        among(near(each, before, 0.01) for each in (int8, int4)), before_nats=before, int8_nats=int8, int4_nats=int4
    )


@claim(
    "002-24",
    "Q, K and V need matrices of their own; with one shared matrix attention scores become uniform.",
    "Q、K、V 需要三个独立矩阵；共用一个矩阵会使注意力得分同质化。",
    source=Source.MEASURED,
    holds=(
        "Shared, the loss changes by {cost_change_nats} (the error is {error_nats}), and attention spreads over "
        "{shared_share} of an even look's entropy, {separate_share} when separate.",
        "共用时损失变化 {cost_change_nats}（误差 {error_nats}），注意力的熵为均匀分布的 {shared_share}，独立时为 "
        "{separate_share}。",
    ),
    when=(
        "One of two is seen: shared, the loss changes by {cost_change_nats} (the error is {error_nats}), and attention "
        "has {shared_share} of an even look's entropy, {separate_share} when separate: it becomes sharper, for a token "
        "looks at itself first.",
        "两点中只见其一：共用时损失变化 {cost_change_nats}（误差 {error_nats}），注意力的熵为均匀分布的 "
        "{shared_share}，独立时为 {separate_share}：注意力反而更集中，因为每个 token 首先看自身。",
    ),
    wrong=(
        "Not seen: shared, the loss changes by {cost_change_nats} (the error is {error_nats}), and attention has "
        "{shared_share} of an even look's entropy, {separate_share} when separate.",
        "实测未见：共用时损失变化 {cost_change_nats}（误差 {error_nats}），注意力的熵为均匀分布的 "
        "{shared_share}，独立时为 {separate_share}。",
    ),
)
def separate_projections_are_needed() -> Finding:
    """Loss and attention maps of models trained with shared and with separate projections."""
    run = measured("shared-qkv")
    cost = run["shared_loss"] - run["separate_loss"]
    shared, separate = run["shared_entropy_share"], run["separate_entropy_share"]
    return finding(
        among([cost > run["error"], shared > separate]),
        cost_change_nats=cost,
        error_nats=run["error"],
        shared_share=shared,
        separate_share=separate,
    )


@claim(
    "002-25",
    "When a model runs, its weights and the embedding of a token are fixed.",
    "推理阶段所有参数与 token 的嵌入向量固定不变。",
    source=Source.MEASURED,
    holds=(
        "Over a generated text, the embedding rows of a token differ by {embedding_change}, the weights by "
        "{weights_change}.",
        "在一次生成中，同一 token 的嵌入向量变化 {embedding_change}，权重变化 {weights_change}。",
    ),
    wrong=(
        "Over a generated text, the embedding rows of a token differ by {embedding_change}, the weights by "
        "{weights_change}.",
        "在一次生成中，同一 token 的嵌入向量变化 {embedding_change}，权重变化 {weights_change}。",
    ),
)
def weights_are_fixed_at_inference() -> Finding:
    """Largest change of the weights and of a token's embedding while text is generated."""
    run = measured("fixed-at-inference")
    weights, embedding = run["weights_change"], run["embedding_change"]
    return finding(weights == embedding == 0, weights_change=weights, embedding_change=embedding)


@claim(
    "002-26",
    "Inside the layers the vector of a token varies with its position and its context.",
    "同一 token 在中间层的向量会随位置和上下文变化。",
    source=Source.MEASURED,
    holds=(
        "After the last layer one token's vectors have a cosine of {place} at two places and of {context} after "
        "two texts; the embedding row is the same.",
        "同一 token 的末层向量，位置不同时余弦相似度为 {place}，上文不同时为 {context}；嵌入向量则相同。",
    ),
    wrong=(
        "After the last layer one token's vectors have a cosine of {place} at two places and of {context} after "
        "two texts.",
        "同一 token 的末层向量，位置不同时余弦相似度为 {place}，上文不同时为 {context}。",
    ),
)
def hidden_states_vary() -> Finding:
    """Cosines of one token's vectors after the last layer, at two places and after two texts."""
    run = measured("fixed-at-inference")
    place, context = run["place_cosine"], run["context_cosine"]
    return finding(max(place, context) < 0.99, place=place, context=context)
