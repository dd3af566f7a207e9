"""Document 001, quality: what depth is said to bring, and what laws and experiments say of it."""

from __future__ import annotations

from deepwide.answers.compare import compare
from deepwide.claims.claim import Finding, Source, Verdict, among, claim, finding
from deepwide.claims.measured import measured
from deepwide.claims.shapes import AXES, SIZES, explained, other, verdict_on, winner

NARROW, USUAL = (
    f"like=llama,{shape},vocab=32000" for shape in ("layers=600,hidden=448,heads=7", "layers=28,hidden=2048")
)


@claim(
    "001-01",
    "There is no single right answer: whether deep or wide is better depends on what is wanted.",
    "没有绝对正确的答案：深与宽孰优取决于目标与约束。",
    source=Source.TIMED,
    holds=(
        "At 8B each wins somewhere: deep on {deep_wins}; wide on {wide_wins}.",
        "在 8B 规模上两者各有所长。深者胜于：{deep_wins_zh}；宽者胜于：{wide_wins_zh}。",
    ),
)
def each_shape_wins_somewhere() -> Finding:
    """The criteria that the deep and the wide shape of equal parameters win."""
    won = {
        f"{name}_wins{ending}": separator.join(
            getattr(AXES[axis], language) for axis in AXES if winner("8B", axis) == name
        )
        for name in ("deep", "wide")
        for language, ending, separator in (("en", "", ", "), ("zh", "_zh", "、"))
    }
    return finding(all(won.values()), **won)


@claim(
    "001-02",
    "With equal parameters both shapes reach about the same capability.",
    "总参数量相近时，两种结构能达到相近的能力上限。",
    source=Source.LAW,
    when=(
        "From half the usual width up to the usual one it is a tie at 8B ({narrow_change_nats}); three halves of "
        "it cost {wide_change_nats}, twice the width {wider_change_nats}.",
        "在 8B 规模上，从常用宽度的一半到常用宽度，差异不可分辨（{narrow_change_nats}）；1.5 倍宽损失变化 "
        "{wide_change_nats}，2 倍宽 {wider_change_nats}。",
    ),
)
def equal_parameters_are_equally_good() -> Finding:
    """Which counterfactual widths at equal parameters tie with the model on predicted loss."""
    narrow, wider, widest = (other("8B", f"width × {by}") for by in ("1/2", "3/2", "2"))
    return finding(
        among(each.tie for each in (narrow, wider, widest)),
        narrow_change_nats=narrow.loss_change or 0.0,
        wide_change_nats=wider.loss_change or 0.0,
        wider_change_nats=widest.loss_change or 0.0,
    )


@claim(
    "001-03",
    "A deep and narrow model needs fewer parameters for the same quality.",
    "达到相同性能时，窄而深的模型所需参数更少。",
    source=Source.LAW,
    when=(
        "Against shapes wider than usual: 2/3 of the width beats 3/2 of it by {small_nats} at 1B and by "
        "{middle_nats} at 8B, beyond the error; at 70B the {large_nats} are a tie.",
        "与比常用更宽的形状相比成立：2/3 宽度优于 3/2 宽度，1B 为 {small_nats}，8B 为 {middle_nats}，均超出误差；"
        "70B 的 {large_nats} 不可分辨。",
    ),
)
def deep_is_parameter_efficient() -> Finding:
    """Who has the lower predicted loss at equal parameters, at three sizes."""
    small, medium, large = (verdict_on(size, "loss").difference for size in SIZES)
    ahead = among(winner(size, "loss") == "deep" for size in SIZES)
    return finding(ahead, small_nats=small, middle_nats=medium, large_nats=large)


@claim(
    "001-04",
    "A wide shallow model overfits more easily than a deep one of its size.",
    "同等规模下，宽而浅的模型更容易过拟合。",
    source=Source.MEASURED,
    holds=(
        "Trained on repeated text, held-out loss exceeds training loss by {wide_nats} in the wide one, by "
        "{deep_nats} in the deep one; the error is {error_nats}.",
        "在重复文本上训练，宽模型的验证损失比训练损失高 {wide_nats}，深模型高 {deep_nats}，误差 {error_nats}。",
    ),
    wrong=(
        "Trained on repeated text, held-out loss exceeds training loss by {wide_nats} in the wide one and by "
        "{deep_nats} in the deep one: no more than the error of {error_nats}, or the other way round.",
        "在重复文本上训练，宽模型的验证损失比训练损失高 {wide_nats}，深模型高 {deep_nats}：差别不超过误差 "
        "{error_nats}，或方向相反。",
    ),
)
def wide_overfits_more() -> Finding:
    """The gap between held-out and training loss of two shapes with equal parameters and tokens."""
    run = measured("overfitting")
    gap = run["wide_gap"] - run["deep_gap"]
    return finding(gap > run["error"], wide_nats=run["wide_gap"], deep_nats=run["deep_gap"], error_nats=run["error"])


@claim(
    "001-10",
    "At equal FLOPs and parameters, more depth is worth more than more width.",
    "在计算量与参数量相近时，增加深度比增加宽度更有效。",
    source=Source.LAW,
    when=(
        "It is where a model is wider than usual: twice the usual width loses {wide_nats} at 1B. Around the usual "
        "shape it is a tie: at 8B, 2/3 of the width changes the loss by {narrow_change_nats}, known to "
        "{error_nats}.",
        "在模型比常用更宽时成立：1B 处 2 倍宽度损失增加 {wide_nats}。在常用形状附近不可分辨：8B 处 2/3 宽度使损失变化 "
        "{narrow_change_nats}，误差 {error_nats}。",
    ),
)
def depth_is_worth_more() -> Finding:
    """Whether the deeper neighbour at equal parameters has the lower loss, beyond the error, of wide and of usual."""
    widest, usual = other("1B", "width × 2"), other("8B", "width × 2/3")
    change = usual.loss_change or 0.0
    return finding(
        among([not widest.tie and (widest.loss_change or 0.0) > 0, not usual.tie and change < 0]),
        wide_nats=widest.loss_change or 0.0,
        narrow_change_nats=change,
        error_nats=usual.loss_resolution or 0.0,
    )


@claim(
    "001-11",
    "Layers that are too narrow become a bottleneck.",
    "层太窄会成为瓶颈，限制模型能力。",
    source=Source.LAW,
    holds=(
        "At equal parameters, {layers} layers of {hidden} lose {loss_nats} against {usual_layers} of "
        "{usual_hidden}, more than the {error_nats} that it is known to.",
        "参数量相同时，{layers} 层、宽 {hidden} 比 {usual_layers} 层、宽 {usual_hidden} 的损失高 {loss_nats}，超过"
        "误差 {error_nats}。",
    ),
    unknown=(
        "Not within the law's reach: at equal parameters, {layers} layers of {hidden} differ from {usual_layers} of "
        "{usual_hidden} by {loss_nats}, known to {error_nats} only.",
        "在定律可及范围内看不出来：参数量相同时，{layers} 层、宽 {hidden} 与 {usual_layers} 层、宽 {usual_hidden} 相差 "
        "{loss_nats}，而误差为 {error_nats}。",
    ),
)
def narrow_layers_are_a_bottleneck() -> Finding:
    """Predicted loss of a usual and of an extremely narrow shape with as many parameters."""
    seen = compare([USUAL, NARROW])
    usual, narrow = seen.models
    loss = next(each for each in seen.verdict if each.criterion == "loss")
    known = {usual.model: Verdict.HOLDS, narrow.model: Verdict.WRONG}
    return finding(
        known.get(loss.winner or "", Verdict.UNDECIDED),
        layers=narrow.layers,
        hidden=narrow.hidden,
        usual_layers=usual.layers,
        usual_hidden=usual.hidden,
        loss_nats=loss.difference,
        error_nats=loss.resolution,
    )


@claim(
    "001-12",
    "Without residual connections deep models can hardly be trained.",
    "没有残差连接，深层模型几乎无法训练。",
    source=Source.MEASURED,
    holds=(
        "{layers} layers end at {bare_nats} without them and at {usual_nats} with them; guessing by frequency has "
        "{guess_nats}.",
        "{layers} 层的模型，去掉残差后损失停在 {bare_nats}，有残差为 {usual_nats}；按词频猜测为 {guess_nats}。",
    ),
    wrong=(
        "{layers} layers reach {bare_nats} without them, {usual_nats} with them, where guessing by frequency has "
        "{guess_nats}: worse, but they learn.",
        "{layers} 层的模型去掉残差后仍达到 {bare_nats}（有残差 {usual_nats}，按词频猜测 {guess_nats}）：更差，但能"
        "学习。",
    ),
)
def residuals_make_depth_trainable() -> Finding:
    """Final losses with and without residual connections; trained means half way from guessing to the usual loss."""
    run = measured("no-residual")
    usual, bare, guess = run["usual_loss"], run["bare_loss"], run["guess_loss"]
    return finding(
        bare > (usual + guess) / 2, layers=int(run["layers"]), usual_nats=usual, bare_nats=bare, guess_nats=guess
    )


@claim(
    "001-13",
    "Residual connections carry gradients through the network almost undiminished.",
    "残差连接让梯度几乎无损地穿过整个网络。",
    source=Source.MEASURED,
    holds=(
        "With them the gradient of the first of {layers} layers is {usual_ratio} that of the last, without them "
        "{bare_ratio}.",
        "{layers} 层的网络，有残差时首层梯度为末层的 {usual_ratio}，没有残差时为 {bare_ratio}。",
    ),
    wrong=(
        "Even with them the gradient of the first of {layers} layers is {usual_ratio} that of the last "
        "({bare_ratio} without).",
        "{layers} 层的网络，即使有残差，首层梯度也为末层的 {usual_ratio}（没有残差时为 {bare_ratio}）。",
    ),
)
def residuals_carry_gradients() -> Finding:
    """Gradient norm of the first layer over that of the last; undiminished is within one order of magnitude."""
    run = measured("gradient-flow")
    usual = run["usual"]
    return finding(0.1 < usual < 10, layers=int(run["layers"]), usual_ratio=usual, bare_ratio=run["bare"])


@claim(
    "001-16",
    "The proportions of a proven model such as LLaMA or GPT are a safe start.",
    "以 LLaMA、GPT 等成熟架构的层数与宽度比例为起点是稳妥的。",
    source=Source.LAW,
    holds=(
        "A better ratio of width to depth would save at most {most_nats} in any of {models}: a tie.",
        "换成更优的宽深比，在 {models} 中最多只能降低 {most_nats}：不可分辨。",
    ),
)
def proven_proportions_are_safe() -> Finding:
    """What the best hidden size per layer would save; less than the difference of two shapes can be known to."""
    effects = [explained(size).shape.shape_effect or 0.0 for size in SIZES]
    known_to = [other(size, "width × 2/3").loss_resolution or 0.0 for size in SIZES]
    within = all(effect < error for effect, error in zip(effects, known_to, strict=True))
    return finding(within, most_nats=max(effects), models=", ".join(SIZES.values()))
