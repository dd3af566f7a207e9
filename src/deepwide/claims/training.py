"""Document 003, resources: what training takes of compute, memory, devices and energy."""

from __future__ import annotations

from deepwide.answers.count import count
from deepwide.answers.loss import predict_loss
from deepwide.answers.memory import memory
from deepwide.answers.training import Training, predict_training
from deepwide.claims.claim import Finding, Source, among, claim, finding
from deepwide.claims.known import known

LARGE, SMALL, ON = "gpt-3-175b", "gpt2", "h100"
FAMILY = ("llama-2-7b", "llama-2-13b", "llama-2-70b")
TOKENS = 300_000_000_000  # that GPT-3 was trained on, arXiv:2005.14165
FRONTIER, FRONTIER_TOKENS = "llama-3.1-405b", 15_000_000_000_000  # arXiv:2407.21783
TRILLION = 1e12


def _trained(model: str, devices: int, tokens: int) -> Training:
    return predict_training(model, on=ON, devices=devices, tokens=tokens)


@claim(
    "003-22",
    "Compute and memory grow exponentially with the number of parameters.",
    "计算与内存需求随参数数量呈指数级增长。",
    source=Source.COUNTED,
    wrong=(
        "Both are linear. From {small} to {large} the parameters grow {parameters_ratio}: bytes of weights "
        "{bytes_ratio}, FLOPs of a token {flops_ratio}, or {flops_per_parameter} for each parameter in training "
        "(the rule says 6).",
        "两者都是线性。从 {small} 到 {large}，参数为 {parameters_ratio}，权重字节为 {bytes_ratio}，每个 token 的计"
        "算量为 {flops_ratio}；训练时每个参数约 {flops_per_parameter} FLOP（经验值为 6）。",
    ),
)
def needs_grow_exponentially() -> Finding:
    """By what factor bytes and FLOPs grow from the smallest to the largest of a family; exponential is twice that."""
    small, large = (known(name).count for name in (FAMILY[0], FAMILY[-1]))
    parameters = large.total / small.total
    held = [memory(name, on=ON).weights_bytes for name in (FAMILY[0], FAMILY[-1])]
    work = [each.forward_flops + each.backward_flops for each in (small, large)]
    grown = [held[1] / held[0], work[1] / work[0]]
    return finding(
        among(each > 2 * parameters for each in grown),
        small=small.model,
        large=large.model,
        parameters_ratio=parameters,
        bytes_ratio=grown[0],
        flops_ratio=grown[1],
        flops_per_parameter=work[1] / large.total,
    )


@claim(
    "003-23",
    "Training takes trillions of floating-point operations.",
    "训练涉及数万亿次浮点运算。",
    source=Source.COUNTED,
    wrong=(
        "By far more: {large} on {seen_tokens} tokens takes {work}, {times} trillions. A trillion is what one of "
        "its tokens takes ({token_flops}).",
        "远不止：{large} 训练 {seen_tokens} token 需 {work} FLOP，即 {times} 个万亿。一万亿只是它训练一个 token 的"
        "量（{token_flops}）。",
    ),
)
def training_takes_trillions() -> Finding:
    """The FLOPs of a whole training run; trillions are fewer than a thousand of them."""
    work = predict_loss(LARGE, TOKENS).flops or 0.0
    own = count(LARGE)
    return finding(
        TRILLION < work < 1000 * TRILLION,
        large=LARGE,
        seen_tokens=TOKENS,
        work=f"{work:.2e}",
        times=f"{work / TRILLION:.1e}",
        token_flops=own.forward_flops + own.backward_flops,
    )


@claim(
    "003-28",
    "Training the largest models takes thousands of GPUs.",
    "训练超大规模模型需要数千甚至上万块 GPU。",
    source=Source.TIMED,
    when=(
        "Frontier runs do: on {devices} × {on}, {frontier} on {frontier_tokens} tokens takes {frontier_days} days. "
        "What GPT-3 needed in 2020 takes {large_days} days on as many today.",
        "前沿规模如此：{devices} 块 {on} 上，{frontier} 训练 {frontier_tokens} token 需 {frontier_days} 天；而 "
        "2020 年 GPT-3 的训练量如今在同样数量的设备上只需 {large_days} 天。",
    ),
)
def training_takes_thousands_of_devices() -> Finding:
    """Days of two runs on a thousand devices; where that is more than two months, thousands are needed."""
    runs = {"frontier": (FRONTIER, FRONTIER_TOKENS), "large": (LARGE, TOKENS)}
    days = {name: _trained(model, 1024, tokens).days or 0.0 for name, (model, tokens) in runs.items()}
    return finding(
        among(each > 60 for each in days.values()),
        devices=1024,
        on=ON,
        frontier=FRONTIER,
        frontier_tokens=FRONTIER_TOKENS,
        **{f"{name}_days": each for name, each in days.items()},
    )


@claim(
    "003-29",
    "Training takes hundreds of gigabytes to terabytes of memory.",
    "训练需要数百 GB 乃至数 TB 的内存。",
    source=Source.MEMORY,
    holds=(
        "Weights, gradients and optimiser states take {middle_bytes} for {middle} and {large_bytes} for {large}.",
        "权重、梯度与优化器状态：{middle} 为 {middle_bytes}，{large} 为 {large_bytes}。",
    ),
)
def training_takes_terabytes() -> Finding:
    """Bytes of all training states, in 16 bits with fp32 states."""
    names = {"middle": "llama-2-13b", "large": LARGE}
    held = {k: memory(n, on=ON, train=True) for k, n in names.items()}
    states = {k: m.weights_bytes + m.gradient_bytes + m.optimizer_bytes for k, m in held.items()}
    return finding(
        states["middle"] > 1e11 and states["large"] > 1e12,
        **names,
        **{f"{k}_bytes": each for k, each in states.items()},
    )


@claim(
    "003-30",
    "Training large models takes much energy and leaves a carbon footprint.",
    "训练大模型消耗大量能源，留下碳足迹。",
    source=Source.BILLED,
    holds=(
        "{large} on {seen_tokens} tokens: {large_kwh} and {large_kg} of CO2e on {devices} × {on}, at the world's "
        "mean grid; {small} on {small_tokens}: {small_kwh}, {small_kg}.",
        "{large} 训练 {seen_tokens} token：{devices} 块 {on} 耗电 {large_kwh}，排放 {large_kg} CO2e（世界平均电网）；"
        "{small} 训练 {small_tokens}：{small_kwh}，{small_kg}。",
    ),
)
def training_takes_energy() -> Finding:
    """Energy and carbon of two runs; much is more than ten tonnes of CO2e."""
    large, small = _trained(LARGE, 1024, TOKENS), _trained(SMALL, 8, 10**10)
    return finding(
        (large.kg_co2e or 0.0) > 10_000,
        large=LARGE,
        seen_tokens=TOKENS,
        devices=large.devices,
        on=ON,
        large_kwh=large.kwh or 0.0,
        large_kg=large.kg_co2e or 0.0,
        small=SMALL,
        small_tokens=10**10,
        small_kwh=small.kwh or 0.0,
        small_kg=small.kg_co2e or 0.0,
    )
