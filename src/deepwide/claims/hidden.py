"""Document 000, width: how wide models and their heads are, and what width is said to bring."""

from __future__ import annotations

from deepwide.answers.compare import compare
from deepwide.claims.claim import Finding, Source, Verdict, among, claim, finding, near
from deepwide.claims.known import BILLION, between, known, middle, rows_of, share, transformers
from deepwide.claims.measured import measured
from deepwide.claims.shapes import SIZES, deep, explained, other

NARROW_HEAD = 64  # what attention kernels are written for at least
HIGH = 0.9  # of the catalogue: what nine models of ten do is usual


@claim(
    "000-01",
    "Models of about ten billion parameters have a hidden size of several thousand, 4,096 to 8,192.",
    "百亿参数左右的模型，隐藏维度通常为数千，约 4096 到 8192。",
    source=Source.CATALOGUE,
    holds=(
        "{models} published models have 7 to 20 billion parameters: {within_share} of them lie there, the median is "
        "{median_hidden}.",
        "目录中有 {models} 个 70 亿到 200 亿参数的模型，其中 {within_share} 落在该区间，中位数为 {median_hidden}。",
    ),
    when=(
        "{models} published models have 7 to 20 billion parameters: {within_share} of them lie there, the median is "
        "{median_hidden}; the others are narrower.",
        "目录中有 {models} 个 70 亿到 200 亿参数的模型，{within_share} 落在该区间，中位数为 {median_hidden}；其余更"
        "窄。",
    ),
)
def hidden_sizes_of_ten_billion() -> Finding:
    """The hidden sizes of all catalogue models of 7B to 20B; usual is what nine of ten do."""
    found = between(7 * BILLION, 20 * BILLION)
    within = share(found, lambda m: 4096 <= m.hidden <= 8192)
    verdict = Verdict.HOLDS if within >= HIGH else Verdict.WHEN
    return finding(
        verdict, models=len(found), within_share=within, median_hidden=int(middle(found, lambda m: m.hidden))
    )


@claim(
    "000-02",
    "The inner width of the FFN is larger than the hidden size, four times as a rule.",
    "FFN 的中间维度大于隐藏维度，一般为 4 倍。",
    source=Source.CATALOGUE,
    when=(
        "{narrower} FFNs of the catalogue are no wider than the hidden size. Four times is the rule without a gate "
        "({plain_share} of those models); gated ones have a median of {gated_ratio}.",
        "目录中不宽于隐藏维度的 FFN 有 {narrower} 个。不带门控的模型以 4 倍为惯例（占 {plain_share}）；"
        "带门控的中位数为 {gated_ratio}。",
    ),
)
def ffn_is_four_times_as_wide() -> Finding:
    """The ratio of FFN to hidden size over the catalogue, with and without a gate."""
    dense = [m for m in transformers() if not rows_of(m.count, "expert_up")]
    plain, gated = ([m for m in dense if m.gated is gate] for gate in (False, True))
    plain_share, gated_ratio = share(plain, lambda m: m.ffn == 4 * m.hidden), middle(gated, lambda m: m.ffn / m.hidden)
    return finding(
        among([plain_share >= HIGH, near(gated_ratio, 4, 0.05)]) if plain_share > 0.5 else Verdict.WRONG,
        narrower=sum(m.ffn <= m.hidden for m in dense),
        plain_share=plain_share,
        gated_ratio=gated_ratio,
    )


@claim(
    "000-03",
    "A hidden size of 4,096 over 32 heads gives heads of 128.",
    "隐藏维度 4096 分给 32 个头，每头维度为 128。",
    source=Source.CATALOGUE,
    holds=(
        "The heads of {model} are {head_dim} wide: {heads} of them make {width}.",
        "{model} 的每个头宽 {head_dim}，{heads} 个头合计 {width}。",
    ),
)
def width_of_a_head() -> Finding:
    """The heads of a model with those very sizes."""
    own = known("llama-3-8b")
    return finding(
        (own.hidden, own.heads, own.head_dim) == (4096, 32, 128),
        model=own.name,
        heads=own.heads,
        head_dim=own.head_dim,
        width=own.heads * own.head_dim,
    )


@claim(
    "000-04",
    "The hidden size equals the number of heads times the width of a head, so more or wider heads need a larger "
    "hidden size.",
    "隐藏维度等于头数乘以每头维度，因此要增加头数或加宽每个头，就必须增大隐藏维度。",
    source=Source.CATALOGUE,
    when=(
        "It is a choice: {equal_share} of {models} published models make it. {freed} do not, such as {example} with "
        "{heads} heads of {head_dim} beside a hidden size of {hidden}.",
        "这只是一种设计选择：{models} 个已发表模型中 {equal_share} 如此。另有 {freed} 个并不遵循，例如 {example}："
        "{heads} 个 {head_dim} 维的头，而隐藏维度为 {hidden}。",
    ),
)
def heads_make_up_the_hidden_size() -> Finding:
    """Heads times head width against the hidden size, over the catalogue."""
    free = [m for m in transformers() if m.heads * m.head_dim != m.hidden]
    example = known("mistral-nemo-12b")
    return finding(
        among([m not in free for m in transformers()]),
        models=len(transformers()),
        equal_share=1 - len(free) / len(transformers()),
        freed=len(free),
        example=example.name,
        heads=example.heads,
        head_dim=example.head_dim,
        hidden=example.hidden,
    )


@claim(
    "000-05",
    "Heads must not be narrow: 8 or 16 is too little.",
    "每个头不能太窄，8 维或 16 维太小。",
    source=Source.CATALOGUE,
    holds=(
        "Nobody builds such heads: the narrowest of {models} models is {narrowest} wide, above a billion parameters "
        "{narrowest_large}; kernels are written for 64 and more. Why, that is for training to show (000-06).",
        "没有人使用这样的头：{models} 个模型中最窄的为 {narrowest}，十亿参数以上最窄为 {narrowest_large}；"
        "算子按 64 及以上编写。至于原因，要靠训练检验（000-06）。",
    ),
)
def narrow_heads_are_not_built() -> Finding:
    """The narrowest heads of the catalogue."""
    narrowest = min(m.head_dim for m in transformers())
    large = min(m.head_dim for m in transformers() if m.count.total > BILLION)
    return finding(
        narrowest > 16 and large >= NARROW_HEAD,
        models=len(transformers()),
        narrowest=narrowest,
        narrowest_large=large,
    )


@claim(
    "000-06",
    "Very narrow heads limit what attention can express: the loss is higher.",
    "过窄的头会限制注意力的表达能力，损失更高。",
    source=Source.MEASURED,
    holds=(
        "At equal width and parameters, heads of 8 lose {cost_nats} against heads of 64 ({error_nats} is the error).",
        "在宽度与参数量相同时，8 维的头比 64 维的头损失高 {cost_nats}（误差 {error_nats}）。",
    ),
    wrong=(
        "At equal width and parameters, heads of 8 are better than heads of 64, by {gain_nats} ({error_nats} is "
        "the error).",
        "在宽度与参数量相同时，8 维的头反而比 64 维的头低 {gain_nats}（误差 {error_nats}）。",
    ),
    unknown=(
        "The lab cannot tell in a small model: heads of 8 end at {narrow_nats}, heads of 64 at {wide_nats}, and "
        "the error is {error_nats}.",
        "在小模型上无法分辨：8 维的头为 {narrow_nats}，64 维的头为 {wide_nats}，误差 {error_nats}。",
    ),
)
def narrow_heads_cost_loss() -> Finding:
    """Trainings that differ in the number of heads alone; told is what exceeds the error."""
    run = measured("narrow-heads")
    narrow, wide, error = run["narrow_loss"], run["wide_loss"], run["error"]
    cost = narrow - wide
    verdict = Verdict.UNDECIDED if abs(cost) <= error else Verdict.HOLDS if cost > 0 else Verdict.WRONG
    return finding(verdict, narrow_nats=narrow, wide_nats=wide, cost_nats=cost, gain_nats=-cost, error_nats=error)


@claim(
    "000-14",
    "Where depth cannot grow further, width is the more effective way to more capability.",
    "在难以继续加深时，增加宽度是提升能力更有效的途径。",
    source=Source.LAW,
    holds=(
        "At {layers} layers, twice the width (heads and FFN with it) lowers the predicted loss of {model} by "
        "{gain_nats}, more than the {error_nats} that it is known to.",
        "层数固定为 {layers} 时，宽度翻倍（头数与 FFN 随之增加）使 {model} 的预测损失下降 {gain_nats}，"
        "超过其误差 {error_nats}。",
    ),
)
def width_helps_where_depth_is_fixed() -> Finding:
    """Predicted loss of a model and of one twice as wide, as deep, after the same tokens."""
    own, wider = "llama-3-8b", "llama-3-8b,hidden=8192,heads=64,kv_heads=16,ffn=28672"
    seen = compare([own, wider])
    loss = next(each for each in seen.verdict if each.criterion == "loss")
    return finding(
        loss.winner == wider,
        model=own,
        layers=seen.models[0].layers,
        gain_nats=loss.difference,
        error_nats=loss.resolution,
    )


@claim(
    "000-15",
    "At equal parameters a larger hidden size gives a better model.",
    "在参数量相同时，更大的隐藏维度意味着更好的模型。",
    source=Source.LAW,
    wrong=(
        "Twice the width at equal parameters never lowers the predicted loss: {small_change_nats} at 1B, "
        "{middle_change_nats} at 8B, {large_change_nats} at 70B. A large hidden size pays in speed, not in loss.",
        "参数量相同而宽度翻倍，预测损失从不下降：1B 为 {small_change_nats}，8B 为 {middle_change_nats}，70B 为 "
        "{large_change_nats}。大的隐藏维度换来的是速度，而不是更低的损失。",
    ),
)
def width_helps_at_equal_parameters() -> Finding:
    """What twice the width at equal parameters changes of the loss, at three sizes."""
    small, medium, large = (other(size, "width × 2").loss_change or 0.0 for size in SIZES)
    verdict = among(change < 0 for change in (small, medium, large))
    return finding(verdict, small_change_nats=small, middle_change_nats=medium, large_change_nats=large)


@claim(
    "000-16",
    "Very deep stacks suffer from vanishing or exploding gradients.",
    "非常深的网络会遇到梯度消失或爆炸。",
    source=Source.MEASURED,
    when=(
        "Without residual connections: in {layers} layers the gradient of the first is then {bare_ratio} that of "
        "the last at the start and {bare_trained_ratio} after {steps} steps; with them {usual_ratio} and "
        "{usual_trained_ratio}.",
        "没有残差连接时成立：{layers} 层的网络，首层梯度在初始时为末层的 {bare_ratio}，{steps} 步后为 "
        "{bare_trained_ratio}；有残差时为 {usual_ratio} 与 {usual_trained_ratio}。",
    ),
    holds=(
        "Even with residual connections: in {layers} layers the gradient of the first is {usual_ratio} that of the "
        "last at the start and {usual_trained_ratio} after {steps} steps; without them {bare_ratio} and "
        "{bare_trained_ratio}.",
        "即使有残差连接：{layers} 层的网络，首层梯度在初始时为末层的 {usual_ratio}，{steps} 步后为 "
        "{usual_trained_ratio}；没有残差时为 {bare_ratio} 与 {bare_trained_ratio}。",
    ),
    wrong=(
        "Gradients of the first and the last of {layers} layers stay alike: {usual_ratio} at the start and "
        "{usual_trained_ratio} after {steps} steps with residual connections, {bare_ratio} and "
        "{bare_trained_ratio} without.",
        "{layers} 层网络的首末层梯度保持相近：有残差时初始为 {usual_ratio}，{steps} 步后为 {usual_trained_ratio}；"
        "没有残差时为 {bare_ratio} 与 {bare_trained_ratio}。",
    ),
)
def deep_stacks_lose_their_gradients() -> Finding:
    """Gradient norms of first and last layer, with and without residual connections; lost is a factor of 100."""
    run = measured("gradient-flow")
    ratios = {f"{name}_ratio": run[name] for name in ("usual", "usual_trained", "bare", "bare_trained")}
    lost = {name: not 0.01 < each < 100 for name, each in ratios.items()}
    usual, bare = (lost[f"{way}_ratio"] or lost[f"{way}_trained_ratio"] for way in ("usual", "bare"))
    return finding(among([usual, bare]), layers=int(run["layers"]), steps=int(run["steps"]), **ratios)


@claim(
    "000-17",
    "A Transformer's gradients travel a shorter path than those of a recurrent network.",
    "与循环网络相比，Transformer 的梯度路径更短。",
    source=Source.COUNTED,
    holds=(
        "Through {deepest_layers} layers it is {path} residual branches, whatever the length of the text; a "
        "recurrent network takes one step for each of {context} tokens.",
        "经过 {deepest_layers} 层共 {path} 个残差分支，与文本长度无关；循环网络则要为 {context} 个 token 各走一步。",
    ),
)
def path_is_shorter_than_a_recurrent_one() -> Finding:
    """Residual branches of the deepest shape looked at, against the tokens in view."""
    deepest, context = deep("70B"), explained("70B").context
    return finding(
        deepest.gradient_path < context, deepest_layers=deepest.layers, path=deepest.gradient_path, context=context
    )
