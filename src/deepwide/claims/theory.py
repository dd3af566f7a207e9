"""Document 004, theory: trainability, signals in deep stacks and tangent kernels, as the lab measures them."""

from __future__ import annotations

from deepwide.claims.claim import Finding, Source, Verdict, among, claim, finding
from deepwide.claims.measured import measured


@claim(
    "004-27",
    "Very deep networks are harder to train than shallow ones, residual connections and norms notwithstanding.",
    "即便有残差与归一化，极深网络仍比浅网络难训练。",
    source=Source.MEASURED,
    holds=(
        "At equal parameters the deepest shape ends at {deep_nats}, the best at {best_nats} (the error is "
        "{error_nats}).",
        "参数量相同时，最深的形状最终损失 {deep_nats}，最优为 {best_nats}（误差 {error_nats}）。",
    ),
    wrong=(
        "Not at this size: at equal parameters the deepest shape ends at {deep_nats}, the best at {best_nats} (the "
        "error is {error_nats}).",
        "在此规模上并非如此：参数量相同时，最深的形状最终损失 {deep_nats}，最优为 {best_nats}（误差 {error_nats}）。",
    ),
)
def deepest_is_hardest() -> Finding:
    """Final losses of a sweep over depth at equal parameters."""
    run = measured("depth-width")
    deep, best = run["deepest_loss"], run["best_loss"]
    return finding(deep - best > run["error"], deep_nats=deep, best_nats=best, error_nats=run["error"])


@claim(
    "004-28",
    "In deep stacks signals degenerate: the representations of all tokens become alike (rank collapse).",
    "深层网络中信号会退化，各 token 的表示趋于相同（秩坍缩）。",
    source=Source.MEASURED,
    holds=(
        "After the last layer tokens are {usual_share} of their norm from rank one, {unskipped_share} without "
        "residual connections and {attention_share} with attention alone.",
        "末层之后，各 token 表示与秩一的距离占其范数的 {usual_share}；去掉残差为 {unskipped_share}，只留注意力为 "
        "{attention_share}。",
    ),
    when=(
        "Without what real models have: attention alone leaves tokens {attention_share} of their norm from rank "
        "one, without residual connections {unskipped_share}, but the whole model {usual_share}.",
        "仅在去掉实际模型的组件时成立：只留注意力，各 token 表示与秩一的距离为其范数的 {attention_share}；去掉残差"
        "为 {unskipped_share}；而完整模型为 {usual_share}。",
    ),
    wrong=(
        "Not seen: the whole model leaves tokens {usual_share} of their norm from rank one, without residual "
        "connections {unskipped_share}, attention alone {attention_share}.",
        "实测未见：完整模型中各 token 表示与秩一的距离为其范数的 {usual_share}，去掉残差为 {unskipped_share}，只留"
        "注意力为 {attention_share}。",
    ),
)
def ranks_collapse() -> Finding:
    """How far tokens are from rank one after the last layer; collapsed is below a hundredth of their norm."""
    run = measured("rank-collapse")
    left = {f"{name}_share": run[f"{name}_distance"] for name in ("usual", "unskipped", "attention")}
    return finding(among(each < 0.01 for each in left.values()), **left)


@claim(
    "004-29",
    "Shallow wide networks converge faster early in training.",
    "较浅较宽的网络在训练初期收敛更快。",
    source=Source.MEASURED,
    holds=(
        "After an eighth of the training the wide shape is at {wide_nats}, the deep one at {deep_nats} (the error is "
        "{error_nats}).",
        "训练进行到八分之一时，宽模型损失 {wide_nats}，深模型 {deep_nats}（误差 {error_nats}）。",
    ),
    wrong=(
        "Not so: after an eighth of the training the wide shape is at {wide_nats}, the deep one at {deep_nats} (the "
        "error is {error_nats}).",
        "并非如此：训练进行到八分之一时，宽模型损失 {wide_nats}，深模型 {deep_nats}（误差 {error_nats}）。",
    ),
)
def wide_converges_faster() -> Finding:
    """Losses of a wide and a deep shape of equal parameters after an eighth of the training."""
    run = measured("depth-width")
    wide, deep = run["widest_early_loss"], run["deepest_early_loss"]
    return finding(deep - wide > run["error"], wide_nats=wide, deep_nats=deep, error_nats=run["error"])


@claim(
    "004-30",
    "Infinitely wide networks start as Gaussian processes and train by a fixed tangent kernel; wider ones come closer.",
    "无限宽网络初始化为高斯过程，由 NTK 描述训练；越宽越接近。",
    source=Source.MEASURED,
    holds=(
        "During training the kernel moves by {narrow_change} at a width of {narrow_width} and by {wide_change} at "
        "{wide_width}.",
        "训练中 NTK 的变化：宽度 {narrow_width} 时为 {narrow_change}，{wide_width} 时为 {wide_change}。",
    ),
    wrong=(
        "Not seen: during training the kernel moves by {narrow_change} at a width of {narrow_width} and by "
        "{wide_change} at {wide_width}.",
        "实测未见：训练中 NTK 的变化，宽度 {narrow_width} 时为 {narrow_change}，{wide_width} 时为 {wide_change}。",
    ),
)
def wide_kernels_stay() -> Finding:
    """How far the empirical tangent kernel moves in training, narrow against wide."""
    run = measured("tangent-kernel")
    narrow, wide = run["narrow_change"], run["wide_change"]
    return finding(
        wide < narrow,
        narrow_width=int(run["narrow_width"]),
        narrow_change=narrow,
        wide_width=int(run["wide_width"]),
        wide_change=wide,
    )


@claim(
    "004-31",
    "Wider networks have better bounds on generalisation and smoother losses.",
    "更宽的网络有更好的泛化界与更平滑的损失曲面。",
    source=Source.NONE,
    unknown=(
        "Such bounds hold for widths far beyond any that is built and say nothing of two real shapes.",
        "这类界只在远超实际的宽度下成立，无法区分两个真实形状。",
    ),
)
def bounds_favour_width() -> Finding:
    """Nothing is computed: no public data holds such a bound against two trained shapes."""
    return finding(Verdict.UNDECIDED)


@claim(
    "004-32",
    "Reasoning in steps needs depth.",
    "逻辑推理与抽象能力（如思维链）需要一定的深度。",
    source=Source.NONE,
    unknown=(
        "No public runs vary the depth alone, at equal parameters, and measure reasoning.",
        "没有公开的训练结果在参数量相同的条件下只改变深度并测量推理能力。",
    ),
)
def reasoning_needs_depth() -> Finding:
    """Nothing is computed: public sweeps over depth report a loss."""
    return finding(Verdict.UNDECIDED)


@claim(
    "004-33",
    "At equal parameters measured losses favour neither extreme of depth.",
    "需要在深度与宽度之间取得平衡，极端形状都不占优。",
    source=Source.MEASURED,
    holds=(
        "The best of the sweep, {best_nats}, lies between the deepest ({deep_nats}) and the widest ({wide_nats}); "
        "the error is {error_nats}.",
        "扫描中最优损失 {best_nats} 位于最深（{deep_nats}）与最宽（{wide_nats}）之间；误差 {error_nats}。",
    ),
    when=(
        "One extreme is worse than the best, {best_nats}: the deepest has {deep_nats}, the widest {wide_nats}; the "
        "error is {error_nats}.",
        "只有一端劣于最优（{best_nats}）：最深 {deep_nats}，最宽 {wide_nats}；误差 {error_nats}。",
    ),
    wrong=(
        "At this size shape does not show: deepest {deep_nats}, best {best_nats}, widest {wide_nats}; the error is "
        "{error_nats}.",
        "在此规模上形状的影响未显现：最深 {deep_nats}，最优 {best_nats}，最宽 {wide_nats}；误差 {error_nats}。",
    ),
)
def extremes_lose() -> Finding:
    """Losses of both ends of a sweep against its best, beyond the error."""
    run = measured("depth-width")
    best, deep, wide = (run[f"{name}_loss"] for name in ("best", "deepest", "widest"))
    return finding(
        among(each - best > run["error"] for each in (deep, wide)),
        best_nats=best,
        deep_nats=deep,
        wide_nats=wide,
        error_nats=run["error"],
    )
