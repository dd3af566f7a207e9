"""Document 004, latency: when fewer and wider layers answer sooner, and when twice the width is not twice the time."""

from __future__ import annotations

from deepwide.answers.catalogue import listed_accelerators
from deepwide.answers.compare import compare
from deepwide.answers.inference import predict_inference
from deepwide.answers.product import Product, predict_product
from deepwide.claims.claim import Finding, Source, among, claim, finding, near
from deepwide.claims.shapes import ON, SIZES, deep, other, verdict_on, wide, winner

FAR_LESS = 1.5  # "far less than twice as long"
BROAD, HALF = 11008, 5504  # the document's matrices, 4096 inputs each
FIFTY, HUNDRED = (
    f"like=llama,layers={layers},hidden=4096,heads=32,ffn={ffn},vocab=32000"
    for layers, ffn in ((50, 16384), (100, 5376))
)


@claim(
    "004-11",
    "Layers run one after the other, so latency is about the number of layers times the time of one.",
    "层间串行，总延迟约等于层数乘以单层时间。",
    source=Source.TIMED,
    holds=(
        "A token of {model} takes {once_s} with 32 layers, {twice_s} with 64: {ratio_ratio}; what is missing to "
        "twice is the output head.",
        "{model} 生成一个 token：32 层 {once_s}，64 层 {twice_s}，为 {ratio_ratio}；不足两倍的部分是输出层。",
    ),
)
def latency_is_layers_times_one() -> Finding:
    """Predicted time of a token with 32 and with 64 layers; about is within a tenth."""
    once, twice = (predict_inference(f"llama-3-8b,layers={n}", on=ON).decode_s_per_token for n in (32, 64))
    return finding(near(twice / once, 2, 0.1), model="llama-3-8b", once_s=once, twice_s=twice, ratio_ratio=twice / once)


@claim(
    "004-12",
    "The time of a layer is its computation plus its memory access.",
    "单层时间等于计算时间加访存时间。",
    source=Source.TIMED,
    wrong=(
        "They overlap: a product of 256 tokens with a {inputs} × {outputs} matrix takes {kernel_s}, where "
        "computing alone is {computing_s} and moving alone {moving_s}.",
        "两者会重叠：256 个 token 与 {inputs} × {outputs} 矩阵相乘用时 {kernel_s}，而单独计算需 {computing_s}，单独"
        "搬运需 {moving_s}。",
    ),
)
def computing_and_moving_add_up() -> Finding:
    """One product against the same with hardly any moving, and with hardly any computing; a sum is within 5%."""
    mixed, long, short = (predict_product(4096, BROAD, on=ON, rows=rows) for rows in (256, 2**17, 1))
    computing = long.kernel_s * mixed.work_flops / long.work_flops
    moving = short.kernel_s * mixed.moved_bytes / short.moved_bytes
    return finding(
        near(mixed.kernel_s, computing + moving, 0.05),
        inputs=4096,
        outputs=BROAD,
        kernel_s=mixed.kernel_s,
        computing_s=computing,
        moving_s=moving,
    )


@claim(
    "004-13",
    "A 4096 × 11008 matrix takes far less than twice the time of a 4096 × 5504 one.",
    "4096×11008 矩阵的耗时远小于 4096×5504 的两倍。",
    source=Source.TIMED,
    when=(
        "Where the units are not filled: cut over 8 devices it takes {slice_ratio}, and in a short prompt, where "
        "launches decide, a model with that FFN takes {prompt_ratio}. Not in batch-1 decode: its kernel takes "
        "{kernel_ratio}, as the bytes do ({bytes_ratio}), with its start {decode_ratio} on {on} and {slow_ratio} "
        "on {slow}; nor in a prompt of 8,192 tokens ({long_ratio}).",
        "在计算单元未填满时成立：切到 8 卡上为 {slice_ratio}；短提示由启动开销主导，采用该 FFN 的模型整体为 "
        "{prompt_ratio}。批大小为 1 的解码则不成立：算子本身为 {kernel_ratio}，与字节数（{bytes_ratio}）一致；计入"
        "启动，{on} 上为 {decode_ratio}，{slow} 上为 {slow_ratio}；8192 token 的长提示也不成立（{long_ratio}）。",
    ),
)
def twice_the_width_takes_far_less() -> Finding:
    """Times of the two products in decode, in a long prompt and over 8 devices, and of a short prompt of a model."""
    slow = "rtx-3060-12gb"
    decode, long, slower, cut = _pair(ON, 1), _pair(ON, 8192), _pair(slow, 1), _pair(ON, 1, devices=8)
    prompt = [predict_inference(f"llama-2-7b,ffn={ffn}", on=ON, input=128, output=1).prefill_s for ffn in (HALF, BROAD)]
    ratios = {
        "slice_ratio": _ratio(cut),
        "prompt_ratio": prompt[1] / prompt[0],
        "decode_ratio": _ratio(decode),
        "slow_ratio": _ratio(slower),
        "long_ratio": _ratio(long),
    }
    return finding(
        among(each < FAR_LESS for each in ratios.values()),
        on=ON,
        slow=slow,
        kernel_ratio=decode[1].kernel_s / decode[0].kernel_s,
        bytes_ratio=decode[1].moved_bytes / decode[0].moved_bytes,
        **ratios,
    )


def _pair(on: str, rows: int, devices: int = 1) -> tuple[Product, Product]:
    """The narrow and the wide product, or the slice of each that one of several devices has."""
    narrow, broad = (predict_product(4096, width // devices, on=on, rows=rows) for width in (HALF, BROAD))
    return narrow, broad


def _ratio(pair: tuple[Product, Product]) -> float:
    return pair[1].time_s / pair[0].time_s


@claim(
    "004-14",
    "Small matrices fill neither the bandwidth nor the units of a modern GPU.",
    "现代 GPU 吞吐量巨大，小矩阵吃不满带宽或算力。",
    source=Source.TIMED,
    when=(
        "Slices do not: cut over 8 devices a 4096 × 5504 matrix reaches {slice_share} of the bandwidth of {on} in "
        "decode. Whole it reaches {whole_share}, so that twice of it takes nearly twice as long.",
        "切片如此：4096 × 5504 的矩阵切到 8 卡后，解码时只达到 {on} 带宽的 {slice_share}；完整矩阵则达到 "
        "{whole_share}，因此加倍后耗时接近两倍。",
    ),
)
def small_matrices_fill_nothing() -> Finding:
    """The share of the stated bandwidth that a product for one token reaches; filled is more than half."""
    (device,) = listed_accelerators("h100-sxm")
    products = {"slice": _pair(ON, 1, devices=8)[0], "whole": _pair(ON, 1)[0]}
    shares = {f"{k}_share": p.moved_bytes / p.time_s / device.bandwidth_bytes_per_s for k, p in products.items()}
    return finding(among(each < 0.5 for each in shares.values()), on=ON, **shares)


@claim(
    "004-15",
    "Fewer and wider layers lower the latency markedly.",
    "减少层数、增加宽度可显著降低推理延迟。",
    source=Source.TIMED,
    holds=(
        "At equal parameters the wide shape takes {small_share} less time for a token at 1B, {middle_share} at 8B, "
        "{large_share} at 70B.",
        "参数量相同时，宽模型每个 token 用时：1B 少 {small_share}，8B 少 {middle_share}，70B 少 {large_share}。",
    ),
    when=(
        "In small models: at equal parameters the wide shape takes {small_share} less time for a token at 1B, "
        "{middle_share} at 8B, {large_share} at 70B.",
        "小模型更明显：参数量相同时，宽模型每个 token 用时 1B 少 {small_share}，8B 少 {middle_share}，70B 少 "
        "{large_share}。",
    ),
)
def wide_lowers_latency() -> Finding:
    """Time of a token of the two shapes at three sizes; markedly is by more than a tenth."""
    shares = [1 - (wide(size).decode_s or 0.0) / (deep(size).decode_s or 1.0) for size in SIZES]
    small, medium, large = shares
    return finding(among(each > 0.1 for each in shares), small_share=small, middle_share=medium, large_share=large)


@claim(
    "004-16",
    "A model of 100 layers with a narrow FFN is much slower than one of 50 layers with a wide FFN and as many "
    "parameters.",
    "总参数相同时，100 层窄 FFN 模型远慢于 50 层宽 FFN 模型。",
    source=Source.TIMED,
    when=(
        "Where the host launches every kernel: {eager_ratio} in eager code. In captured graphs a token takes "
        "{decode_ratio}, a prompt {prefill_ratio} ({wide_parameters} and {deep_parameters} parameters).",
        "在逐个启动算子时成立：eager 执行为 {eager_ratio}。使用计算图捕获时，每个 token 为 {decode_ratio}，读取提示"
        "为 {prefill_ratio}（参数 {wide_parameters} 与 {deep_parameters}）。",
    ),
)
def hundred_layers_against_fifty() -> Finding:
    """Predicted times of the two, in captured graphs and in eager code; much slower is by more than a half."""
    fifty, hundred = compare([FIFTY, HUNDRED], on=ON).models
    eager = [predict_inference(m, on=ON, runtime="huggingface").decode_s_per_token for m in (FIFTY, HUNDRED)]
    ratios = {
        "eager_ratio": eager[1] / eager[0],
        "decode_ratio": (hundred.decode_s or 0.0) / (fifty.decode_s or 1.0),
        "prefill_ratio": (hundred.prefill_s or 0.0) / (fifty.prefill_s or 1.0),
    }
    return finding(
        among(each > 1.5 for each in ratios.values()),
        wide_parameters=fifty.parameters,
        deep_parameters=hundred.parameters,
        **ratios,
    )


@claim(
    "004-17",
    "Width is the most economical way to more parameters.",
    "增加宽度是提升参数量最划算的方式。",
    source=Source.TIMED,
    when=(
        "For speed: at 8B the wide shape takes {decode_share} less time for a token, {step_share} less for a "
        "training step, and {cache_share} less cache. Not for loss, where deep is {loss_nats} ahead, nor for the "
        "size of a layer.",
        "就速度而言成立：8B 规模宽模型每个 token 用时少 {decode_share}，训练一步少 {step_share}，KV 缓存少 "
        "{cache_share}。就损失而言不成立（深模型低 {loss_nats}），单层大小亦然。",
    ),
)
def width_is_most_economical() -> Finding:
    """Who wins what at 8B: the same axes as the claim that deep is better (001-27), from the other side."""
    axes = ("loss", "decode time", "prefill time", "training step", "all-reduces", "largest layer")
    own, opposite = wide("8B"), deep("8B")
    return finding(
        among(winner(size, axis) == "wide" for size in SIZES for axis in axes),
        decode_share=1 - (own.decode_s or 0.0) / (opposite.decode_s or 1.0),
        step_share=1 - (own.step_s or 0.0) / (opposite.step_s or 1.0),
        cache_share=1 - own.kv_cache_bytes_per_token / opposite.kv_cache_bytes_per_token,
        loss_nats=verdict_on("8B", "loss").difference,
    )


@claim(
    "004-18",
    "A wider FFN with fewer layers is faster at equal parameters, at no cost.",
    "参数量相同时，更宽的 FFN 加更少的层更快，且无损质量。",
    source=Source.TIMED,
    when=(
        "Faster it is: twice the FFN at 8B changes the time of a token by {decode_change_share}, of a prompt by "
        "{prefill_change_share}. The law of shapes sees no cost ({loss_change_nats}, a tie); a published law of "
        "the FFN's ratio adds {ffn_change_nats}, more than that tie.",
        "速度确实更快：8B 处 FFN 加倍，每个 token 用时变化 {decode_change_share}，提示变化 {prefill_change_share}。"
        "形状定律看不出代价（{loss_change_nats}，不可分辨）；但一条已发表的 FFN 比例定律另计 {ffn_change_nats}，大"
        "于该差异。",
    ),
)
def wider_ffn_is_free() -> Finding:
    """What twice the FFN at equal parameters changes: times, the loss, and what a law of the FFN's ratio adds."""
    own = other("8B", "ffn × 2")
    decode, prefill, ratio_effect = own.changes["decode"], own.changes["prefill"], own.ffn_effect or 0.0
    return finding(
        among([decode < 0, prefill < 0, own.tie, ratio_effect < (own.loss_resolution or 0.0) / 2]),
        decode_change_share=decode,
        prefill_change_share=prefill,
        loss_change_nats=own.loss_change or 0.0,
        ffn_change_nats=ratio_effect,
    )
