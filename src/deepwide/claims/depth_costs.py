"""Document 001, costs: what deep and wide shapes of equal parameters take of time, memory and communication."""

from __future__ import annotations

from deepwide.answers.inference import predict_inference
from deepwide.answers.training import predict_training
from deepwide.claims.claim import Finding, Source, Verdict, among, claim, finding
from deepwide.claims.shapes import ON, SIZES, deep, opposed, verdict_on, wide, winner


@claim(
    "001-18",
    "A wide shallow model computes with more parallelism: large products, few steps in sequence.",
    "宽而浅的模型并行度更高：矩阵乘更大，顺序步骤更少。",
    source=Source.COUNTED,
    holds=(
        "At 8B the wide shape does {wide_intensity} FLOP for each byte it moves and launches {wide_kernels} "
        "kernels a pass; the deep one {deep_intensity} and {deep_kernels}.",
        "8B 规模下，宽模型每搬运一字节做 {wide_intensity} 次浮点运算，每次前向启动 {wide_kernels} 个算子；深模型为 "
        "{deep_intensity} 与 {deep_kernels}。",
    ),
)
def wide_is_more_parallel() -> Finding:
    """Arithmetic intensity and kernels of the two shapes."""
    return finding(
        all(winner(size, criterion) == "wide" for size in SIZES for criterion in ("intensity", "launches")),
        wide_intensity=wide("8B").intensity,
        deep_intensity=deep("8B").intensity,
        wide_kernels=wide("8B").kernels,
        deep_kernels=deep("8B").kernels,
    )


@claim(
    "001-19",
    "A forward or backward pass of the wide model can be faster.",
    "宽而浅的模型单次前向或反向可能更快。",
    source=Source.TIMED,
    holds=(
        "A token is {decode_ratio} as long in the deep shape of 8B, a prompt {prefill_ratio}, a training step "
        "{step_ratio}.",
        "8B 规模下，深模型生成一个 token 的时间为宽模型的 {decode_ratio}，读取提示为 {prefill_ratio}，训练一步为 "
        "{step_ratio}。",
    ),
    when=(
        "A token is {decode_ratio} as long in the deep shape of 8B, a prompt {prefill_ratio}, a training step "
        "{step_ratio}; not each of these is beyond the error at each size.",
        "8B 规模下，深模型生成一个 token 的时间为宽模型的 {decode_ratio}，读取提示为 {prefill_ratio}，训练一步为 "
        "{step_ratio}；并非在每个规模上都超出误差。",
    ),
)
def wide_is_faster() -> Finding:
    """Times of a token, a prompt and a training step of the two shapes, at three sizes."""
    criteria = {"decode": "decode time", "prefill": "prefill time", "step": "training step"}
    ratios = {f"{name}_ratio": getattr(deep("8B"), f"{name}_s") / getattr(wide("8B"), f"{name}_s") for name in criteria}
    return finding(among(winner(size, each) == "wide" for size in SIZES for each in criteria.values()), **ratios)


@claim(
    "001-20",
    "Fewer layers mean less communication between devices.",
    "层数少，层间与设备间通信更少。",
    source=Source.COUNTED,
    holds=(
        "Over {tp} devices the wide shape of 8B sums {wide_sums} times a pass, the deep one {deep_sums} times, "
        "which takes {time_ratio} as long for a token.",
        "8B 规模在 {tp} 卡张量并行下，宽模型每次前向求和 {wide_sums} 次，深模型 {deep_sums} 次，每个 token 的通信时"
        "间为 {time_ratio}。",
    ),
)
def fewer_layers_talk_less() -> Finding:
    """All-reduces of a pass and their time, of the two shapes."""
    return finding(
        all(winner(size, "all-reduces") == "wide" for size in SIZES),
        tp=opposed("8B").tp,
        wide_sums=wide("8B").sums,
        deep_sums=deep("8B").sums,
        time_ratio=(deep("8B").decode_sums_s or 0.0) / (wide("8B").decode_sums_s or 1.0),
    )


@claim(
    "001-21",
    "Gradients have a shorter way through a wide shallow model.",
    "宽而浅的模型梯度传播路径更短。",
    source=Source.COUNTED,
    holds=(
        "{wide_path} residual branches against {deep_path} at 8B: two for each layer.",
        "8B 规模下为 {wide_path} 个残差分支，深模型为 {deep_path} 个：每层两个。",
    ),
)
def wide_has_the_shorter_path() -> Finding:
    """Residual branches between the loss and the input."""
    shorter = all(winner(size, "gradient path") == "wide" for size in SIZES)
    return finding(shorter, wide_path=wide("8B").gradient_path, deep_path=deep("8B").gradient_path)


@claim(
    "001-22",
    "The peak memory of a wide shallow model is high, because single layers are large.",
    "宽而浅的模型单层巨大，显存峰值高。",
    source=Source.MEMORY,
    when=(
        "Its largest layer is ({wide_layer_bytes} against {deep_layer_bytes} at 8B), which matters where layers "
        "are gathered one by one. All it takes on one device is less: {wide_bytes} against {deep_bytes} to serve, "
        "{wide_train_bytes} against {deep_train_bytes} to train.",
        "单层确实更大（8B：{wide_layer_bytes} 对 {deep_layer_bytes}），在逐层聚合权重时才重要。单设备总占用反而更少："
        "推理 {wide_bytes} 对 {deep_bytes}，训练 {wide_train_bytes} 对 {deep_train_bytes}。",
    ),
)
def wide_peaks_higher() -> Finding:
    """The largest layer, and all that one device holds to serve and to train, of the two shapes."""
    own, opposite = wide("8B"), deep("8B")
    return finding(
        among(winner("8B", each) == "deep" for each in ("largest layer", "inference memory", "training memory")),
        wide_layer_bytes=own.layer_bytes,
        deep_layer_bytes=opposite.layer_bytes,
        wide_bytes=own.inference_bytes,
        deep_bytes=opposite.inference_bytes,
        wide_train_bytes=own.training_bytes,
        deep_train_bytes=opposite.training_bytes,
    )


@claim(
    "001-23",
    "A single layer of a deep narrow model is smaller.",
    "窄而深的模型单层参数更少。",
    source=Source.COUNTED,
    holds=(
        "{deep_layer_bytes} against {wide_layer_bytes} at 8B, in 16 bits; smaller at every size.",
        "8B 规模下为 {deep_layer_bytes} 对 {wide_layer_bytes}（16 位），各个规模均更小。",
    ),
)
def deep_layers_are_smaller() -> Finding:
    """The largest layer of the two shapes."""
    return finding(
        all(winner(size, "largest layer") == "deep" for size in SIZES),
        deep_layer_bytes=deep("8B").layer_bytes,
        wide_layer_bytes=wide("8B").layer_bytes,
    )


@claim(
    "001-24",
    "Layers wait for each other: time grows with their number.",
    "层与层顺序依赖，耗时随层数增加。",
    source=Source.TIMED,
    holds=(
        "Twice the layers of {model} make a token {decode_ratio} as long and a prompt {prefill_ratio}.",
        "{model} 层数翻倍，生成一个 token 的时间为 {decode_ratio}，读取提示为 {prefill_ratio}。",
    ),
)
def time_grows_with_layers() -> Finding:
    """Predicted times of a model and of one with twice the layers."""
    once, twice = (predict_inference(f"llama-3-8b,layers={layers}", on=ON) for layers in (32, 64))
    decode, prefill = twice.decode_s_per_token / once.decode_s_per_token, twice.prefill_s / once.prefill_s
    return finding(min(decode, prefill) > 1.5, model="llama-3-8b", decode_ratio=decode, prefill_ratio=prefill)


@claim(
    "001-25",
    "A deep narrow model answers with a longer latency than a wide one of its size.",
    "同等规模下，窄而深的模型延迟更长。",
    source=Source.TIMED,
    holds=(
        "A token takes {small_ratio} as long at 1B, {middle_ratio} at 8B and {large_ratio} at 70B ({low_s} to "
        "{high_s} at 8B, the wide one {wide_low_s} to {wide_high_s}).",
        "生成一个 token 的时间与宽模型相比：1B 为 {small_ratio}，8B 为 {middle_ratio}，70B 为 {large_ratio}（8B 深"
        "模型 {low_s} 到 {high_s}，宽模型 {wide_low_s} 到 {wide_high_s}）。",
    ),
)
def deep_answers_later() -> Finding:
    """Predicted time of a token, batch 1, of the two shapes at three sizes."""
    small, medium, large = ((deep(size).decode_s or 0.0) / (wide(size).decode_s or 1.0) for size in SIZES)
    return finding(
        among(winner(size, "decode time") == "wide" for size in SIZES),
        small_ratio=small,
        middle_ratio=medium,
        large_ratio=large,
        low_s=deep("8B").decode_low_s or 0.0,
        high_s=deep("8B").decode_high_s or 0.0,
        wide_low_s=wide("8B").decode_low_s or 0.0,
        wide_high_s=wide("8B").decode_high_s or 0.0,
    )


@claim(
    "001-26",
    "In distributed training more layers mean more communication.",
    "分布式训练中，层数越多通信开销越大。",
    source=Source.TIMED,
    holds=(
        "With tensor parallelism over {tp} devices the sums of a step take {deep_s} in the deep shape of 8B, "
        "{wide_s} in the wide one.",
        "{tp} 卡张量并行下，8B 规模一步训练的求和通信：深模型 {deep_s}，宽模型 {wide_s}。",
    ),
)
def deep_training_talks_more() -> Finding:
    """Time of tensor-parallel sums in a training step of the two shapes on one plan."""
    spent = [
        predict_training(shape.model, on=ON, devices=8, plan="tp=8,micro_batch=1,recompute=full").breakdown["tensor_s"]
        for shape in (deep("8B"), wide("8B"))
    ]
    return finding(spent[0] > spent[1], tp=8, deep_s=spent[0], wide_s=spent[1])


@claim(
    "001-27",
    "Deep and narrow is better than wide and shallow, all in all.",
    "总体而言，窄而深优于宽而浅。",
    source=Source.TIMED,
    when=(
        "Where loss decides and the alternative is wider than usual ({loss_nats} lower at 8B, a tie at 70B) or "
        "single layers have to be small. Wide wins the rest: a token takes {decode_share} less time, a training "
        "step {step_share} less. docs/deep-or-wide.md has every axis.",
        "当损失优先且对手比常用更宽时（8B 低 {loss_nats}，70B 不可分辨），或要求单层较小时成立。其余方面宽者胜：每"
        "个 token 用时少 {decode_share}，训练一步少 {step_share}。各维度见 docs/deep-or-wide.zh.md。",
    ),
)
def deep_is_better_all_in_all() -> Finding:
    """Who wins what at equal parameters: loss, latency, training, memory, communication."""
    axes = ("loss", "decode time", "prefill time", "training step", "all-reduces", "largest layer")
    quicker = {
        name: 1 - getattr(wide("8B"), f"{name}_s") / getattr(deep("8B"), f"{name}_s") for name in ("decode", "step")
    }
    return finding(
        among(winner(size, axis) == "deep" for size in SIZES for axis in axes),
        loss_nats=verdict_on("8B", "loss").difference,
        decode_share=quicker["decode"],
        step_share=quicker["step"],
    )


@claim(
    "001-28",
    "Where the lowest latency counts, wide and shallow has its place.",
    "若极端追求低延迟，宽而浅的结构有其用武之地。",
    source=Source.TIMED,
    holds=(
        "At 70B it takes {saved_share} less time for a token at a loss that cannot be told apart ({loss_nats}).",
        "70B 规模下每个 token 用时少 {saved_share}，而损失不可分辨（相差 {loss_nats}）。",
    ),
)
def wide_is_for_low_latency() -> Finding:
    """Time of a token and loss of the two shapes of 70B."""
    saved = 1 - (wide("70B").decode_s or 0.0) / (deep("70B").decode_s or 1.0)
    free = winner("70B", "decode time") == "wide" and winner("70B", "loss") == "tie"
    return finding(
        Verdict.HOLDS if free else Verdict.WHEN, saved_share=saved, loss_nats=verdict_on("70B", "loss").difference
    )
