"""Document 004, hardware: what layers and widths ask of parallel devices, of matrix units and of the host."""

from __future__ import annotations

from deepwide.answers.inference import predict_inference
from deepwide.answers.memory import memory
from deepwide.answers.product import predict_product
from deepwide.answers.training import predict_training
from deepwide.claims.claim import Finding, Source, among, claim, finding
from deepwide.claims.known import BILLION, between, middle
from deepwide.claims.shapes import ON, SIZES, deep, opposed, wide, winner


@claim(
    "004-01",
    "Leading models grow wider and keep their depth, or have less of it.",
    "领先模型趋向增加宽度，并控制甚至减少层数。",
    source=Source.CATALOGUE,
    wrong=(
        "They do not: of 5 to 20 billion parameters, models up to 2022 have a median of {before} of hidden size "
        "per layer and {before_layers} layers, those since 2024 {after} and {after_layers}.",
        "并无此趋势：50 亿到 200 亿参数的模型，2022 年及以前“隐藏维度/层数”的中位数为 {before}、层数 {before_layers}，"
        "2024 年以来为 {after}、{after_layers}。",
    ),
)
def models_grow_wider() -> Finding:
    """Hidden size per layer and layers of models of one size, before and after; a trend moves the median by a tenth."""
    found = between(5 * BILLION, 20 * BILLION)
    before, after = [m for m in found if m.year <= 2022], [m for m in found if m.year >= 2024]
    aspects = [middle(each, lambda m: m.aspect) for each in (before, after)]
    layers = [int(middle(each, lambda m: m.layers)) for each in (before, after)]
    return finding(
        aspects[1] > 1.1 * aspects[0],
        before=aspects[0],
        before_layers=layers[0],
        after=aspects[1],
        after_layers=layers[1],
    )


@claim(
    "004-02",
    "Models of a hundred billion parameters cannot be trained on one device.",
    "千亿级模型的训练单卡显存不够，必须分布式。",
    source=Source.MEMORY,
    holds=(
        "{model} needs {total_bytes} to train, one {on} has {capacity_bytes}.",
        "{model} 训练需要 {total_bytes}，而一块 {on} 只有 {capacity_bytes}。",
    ),
)
def large_models_need_many_devices() -> Finding:
    """Bytes to train a model, one sequence at a time with all activations computed again, against one device."""
    asked = memory("gpt-3-175b", on=ON, train=True, recompute="full")
    return finding(
        not asked.fits,
        model=asked.model,
        on=asked.on,
        total_bytes=asked.total_bytes,
        capacity_bytes=asked.capacity_bytes,
    )


@claim(
    "004-03",
    "Tensor parallelism needs a sum over devices after attention and after the FFN of each layer.",
    "张量并行在每层的注意力与 FFN 之后各需一次 All-Reduce。",
    source=Source.COUNTED,
    holds=(
        "{sums} sums in a pass through {layers} layers.",
        "{layers} 层的一次前向共 {sums} 次求和。",
    ),
)
def sums_of_a_layer() -> Finding:
    """Sums of one forward pass over its layers."""
    own = deep("8B")
    return finding(own.sums == 2 * own.layers, sums=own.sums, layers=own.layers)


@claim(
    "004-04",
    "A deep model needs more of these sums.",
    "模型越深，All-Reduce 次数越多。",
    source=Source.COUNTED,
    holds=(
        "{deep_sums} against {wide_sums} at 8B; a token's sums take {deep_s} against {wide_s} on {tp} devices.",
        "8B 规模为 {deep_sums} 对 {wide_sums}；{tp} 卡上每个 token 的求和用时 {deep_s} 对 {wide_s}。",
    ),
)
def deep_sums_more() -> Finding:
    """Sums of a pass and their time, of the deep and the wide shape."""
    own, opposite = deep("8B"), wide("8B")
    return finding(
        all(winner(size, "all-reduces") == "wide" for size in SIZES),
        deep_sums=own.sums,
        wide_sums=opposite.sums,
        tp=opposed("8B").tp,
        deep_s=own.decode_sums_s or 0.0,
        wide_s=opposite.decode_sums_s or 0.0,
    )


@claim(
    "004-05",
    "Communication is slower than computing and becomes the bottleneck.",
    "通信通常比计算慢，会成为瓶颈。",
    source=Source.TIMED,
    when=(
        "Without a fast link: on 8 × {slow}, joined by PCIe, sums take {slow_share} of a prompt of {model}; on 8 × "
        "{fast}, joined by NVLink, {fast_share}.",
        "缺少高速互连时成立：8 块 {slow}（PCIe）上，{model} 读取提示时求和占 {slow_share}；8 块 {fast}（NVLink）上"
        "只占 {fast_share}。",
    ),
)
def communication_is_the_bottleneck() -> Finding:
    """The share of sums in a prompt over eight devices with and without a fast link; a bottleneck is more than half."""
    shares = {}
    for kind, on in (("fast", "h100"), ("slow", "l40s")):
        spent = predict_inference("llama-3-70b", on=on, tp=8, input=4096).breakdown["prefill"]
        shares[kind] = spent["traffic_s"] / sum(spent.values())
    return finding(
        among(each > 0.5 for each in shares.values()),
        model="llama-3-70b",
        fast="h100",
        slow="l40s",
        fast_share=shares["fast"],
        slow_share=shares["slow"],
    )


@claim(
    "004-06",
    "Wide layers keep the matrix units busier.",
    "更宽的层让 Tensor Core 更饱和，计算密度更高。",
    source=Source.COUNTED,
    when=(
        "In prompts and in training: {wide_intensity} FLOP for each byte moved against {deep_intensity} at 8B. In "
        "decoding one sequence it is {decode_intensity} for a matrix of any width.",
        "读取提示与训练时成立：8B 规模每字节 {wide_intensity} 对 {deep_intensity} FLOP。单序列解码时，无论多宽都约"
        "为 {decode_intensity}。",
    ),
)
def wide_layers_fill_matrix_units() -> Finding:
    """FLOPs per byte of the two shapes, and of one product with a narrow and a wide matrix for one token."""
    narrow, broad = (predict_product(4096, width, on=ON).intensity for width in (5504, 11008))
    return finding(
        among([winner("8B", "intensity") == "wide", broad > 1.01 * narrow]),
        wide_intensity=wide("8B").intensity,
        deep_intensity=deep("8B").intensity,
        decode_intensity=broad,
    )


@claim(
    "004-07",
    "With fewer layers there is less to communicate in all, although each sum is longer.",
    "层数少则总通信次数少，尽管单次通信量更大。",
    source=Source.COUNTED,
    holds=(
        "Reading a prompt, where each is long, they take {wide_s} in the wide shape of 8B and {deep_s} in the deep "
        "one.",
        "读取提示时单次通信较大，8B 规模下宽模型求和共用 {wide_s}，深模型 {deep_s}。",
    ),
)
def fewer_sums_send_less() -> Finding:
    """Time of all sums of a prompt, of the two shapes."""
    wide_s, deep_s = ((shape("8B").prefill_sums_s or 0.0) for shape in (wide, deep))
    return finding(wide_s < deep_s, wide_s=wide_s, deep_s=deep_s)


@claim(
    "004-08",
    "A deep model launches more kernels.",
    "模型越深，Kernel Launch 次数越多。",
    source=Source.COUNTED,
    holds=(
        "{deep_kernels} in a pass against {wide_kernels} at 8B; starting them takes {deep_s} of a token against "
        "{wide_s}.",
        "8B 规模每次前向 {deep_kernels} 个，宽模型 {wide_kernels} 个；每个 token 的启动开销 {deep_s} 对 {wide_s}。",
    ),
)
def deep_launches_more() -> Finding:
    """Kernels of a pass and the time of starting them, of the two shapes."""
    own, opposite = deep("8B"), wide("8B")
    return finding(
        all(winner(size, "launches") == "wide" for size in SIZES),
        deep_kernels=own.kernels,
        wide_kernels=opposite.kernels,
        deep_s=own.launch_s or 0.0,
        wide_s=opposite.launch_s or 0.0,
    )


@claim(
    "004-09",
    "Narrow layers leave the GPU waiting for the host's next launch.",
    "层太窄时，GPU 会等待 CPU 下发指令而空闲。",
    source=Source.TIMED,
    when=(
        "Where every kernel is launched anew: a token of {model} takes {eager_ratio} what its kernels need in "
        "eager code, and {graph_ratio} in captured graphs.",
        "在逐个启动算子时成立：{model} 每个 token 的用时，eager 执行为算子所需的 {eager_ratio}，使用计算图捕获为 "
        "{graph_ratio}。",
    ),
)
def narrow_layers_wait_for_the_host() -> Finding:
    """The time of a token over what reading and computing alone take; waiting is more than twice as long."""
    ratios = {}
    for kind, runtime in (("eager", "huggingface"), ("graph", "vllm")):
        spent = predict_inference(deep("8B").model, on=ON, runtime=runtime).breakdown["decode"]
        ratios[f"{kind}_ratio"] = sum(spent.values()) / (spent["weights_s"] + spent["cache_s"] + spent["compute_s"])
    return finding(among(each > 2 for each in ratios.values()), model=deep("8B").model, **ratios)


@claim(
    "004-10",
    "Fewer layers communicate less often when a model is trained over devices.",
    "减少层数可降低分布式训练中的通信频率。",
    source=Source.TIMED,
    holds=(
        "With tp=8 the sums take {deep_share} of a step of the deep shape of 8B, {wide_share} of the wide one.",
        "tp=8 时，求和占 8B 深模型训练一步的 {deep_share}，宽模型为 {wide_share}。",
    ),
)
def fewer_layers_train_quieter() -> Finding:
    """The share of tensor-parallel sums in a training step of the two shapes on one plan."""
    shares = []
    for shape in (deep("8B"), wide("8B")):
        step = predict_training(shape.model, on=ON, devices=8, plan="tp=8,micro_batch=1,recompute=full")
        shares.append(step.breakdown["tensor_s"] / step.step_s)
    return finding(shares[0] > shares[1], deep_share=shares[0], wide_share=shares[1])
