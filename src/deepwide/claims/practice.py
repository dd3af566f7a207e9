"""Document 001, practice: the shapes that people build."""

from __future__ import annotations

from itertools import pairwise

from deepwide.answers.loss import predict_loss
from deepwide.claims.claim import Finding, Source, Verdict, claim, finding
from deepwide.claims.known import BILLION, between, known, listed, middle, share, transformers
from deepwide.claims.shapes import explained

MANY_LAYERS, HUNDRED = 24, 100
PUBLIC = ("llama-2-7b", "llama-2-70b", "llama-3.1-405b", "mistral-7b")
SECRET = ("gemini-1.0-ultra", "claude-3-opus")
LLAMA_3 = ("llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b")


@claim(
    "001-05",
    "Nearly all leading models are narrow and deep.",
    "几乎所有领先的大模型都采用窄而深的结构。",
    source=Source.CATALOGUE,
    wrong=(
        "They are wider than loss alone asks for: the median of {models} models above 5B has {aspect} of hidden "
        "size per layer, where the law holds {best} best at 8B; {narrower_share} of them are narrower than that.",
        "它们比单看损失所需的更宽：{models} 个 5B 以上模型的“隐藏维度/层数”中位数为 {aspect}，而定律在 8B 处给出的"
        "最优值为 {best}；比它更窄的占 {narrower_share}。",
    ),
)
def leading_models_are_narrow() -> Finding:
    """Hidden size per layer over the catalogue, against the ratio of the lowest predicted loss."""
    found, best = between(5 * BILLION, 1e13), predict_loss("llama-3-8b", explained("8B").tokens).best_aspect or 0.0
    narrower = share(found, lambda m: m.aspect <= best)
    return finding(
        narrower > 0.5,
        models=len(found),
        aspect=middle(found, lambda m: m.aspect),
        best=best,
        narrower_share=narrower,
    )


@claim(
    "001-06",
    "GPT-3 of 175 billion parameters has 96 layers.",
    "1750 亿参数的 GPT-3 有 96 层。",
    source=Source.CATALOGUE,
    holds=("{layers} layers of {hidden}, {total} parameters.", "{layers} 层，隐藏维度 {hidden}，参数 {total}。"),
)
def layers_of_gpt3() -> Finding:
    """The catalogue's row."""
    own = known("gpt-3-175b")
    return finding(own.layers == 96, layers=own.layers, hidden=own.hidden, total=own.count.total)


@claim(
    "001-07",
    "BERT base has 12 layers.",
    "BERT-base 有 12 层。",
    source=Source.CATALOGUE,
    holds=("{layers} layers of {hidden}, {total} parameters.", "{layers} 层，隐藏维度 {hidden}，参数 {total}。"),
)
def layers_of_bert() -> Finding:
    """The catalogue's row."""
    own = known("bert-base")
    return finding(own.layers == 12, layers=own.layers, hidden=own.hidden, total=own.count.total)


@claim(
    "001-08",
    "LLaMA and Mistral have dozens of layers up to more than a hundred.",
    "LLaMA、Mistral 的层数从几十到上百。",
    source=Source.CATALOGUE,
    holds=(
        "From {fewest} to {most} layers in {models}.",
        "{models} 的层数从 {fewest} 到 {most}。",
    ),
)
def layers_of_public_models() -> Finding:
    """The layers of some of their models."""
    layers = [known(name).layers for name in PUBLIC]
    return finding(
        min(layers) >= MANY_LAYERS and max(layers) >= HUNDRED,
        fewest=min(layers),
        most=max(layers),
        models=", ".join(PUBLIC),
    )


@claim(
    "001-09",
    "Gemini and Claude have dozens to a hundred layers, too.",
    "Gemini、Claude 的层数同样在数十到上百之间。",
    source=Source.NONE,
    unknown=(
        "Their makers disclose neither layers nor size: {models} are in the catalogue without a number.",
        "开发方既未公开层数也未公开规模：目录中 {models} 没有任何数字。",
    ),
)
def layers_of_secret_models() -> Finding:
    """Whether the catalogue knows any size of them."""
    sizes = [listed()[name].layers for name in SECRET]
    return finding(Verdict.UNDECIDED if None in sizes else Verdict.WRONG, models=", ".join(SECRET))


@claim(
    "001-14",
    "Models of more than a hundred layers can be trained.",
    "上百层的模型是可以训练的。",
    source=Source.CATALOGUE,
    holds=(
        "{models} published models have a hundred layers or more: {names}.",
        "目录中有 {models} 个模型达到一百层或更多：{names}。",
    ),
)
def hundred_layers_are_trainable() -> Finding:
    """The published models with so many layers."""
    found = [m.name for m in transformers() if m.layers >= HUNDRED]
    return finding(bool(found), models=len(found), names=", ".join(found))


@claim(
    "001-15",
    "Width and depth should grow together.",
    "宽度与深度应协同增加。",
    source=Source.CATALOGUE,
    holds=(
        "People do it: from {small} to {large} the layers grow {layers_ratio}, the width {hidden_ratio}, in "
        "{steps} steps of which none shrinks either.",
        "业界正是如此：从 {small} 到 {large}，层数增至 {layers_ratio}，宽度增至 {hidden_ratio}，共 {steps} 级，没有"
        "一级缩小任一维度。",
    ),
)
def width_and_depth_grow_together() -> Finding:
    """Layers and hidden size along one family, from small to large."""
    llamas = [known(name) for name in LLAMA_3]
    pairs = list(pairwise(llamas))
    small, large = llamas[0], llamas[-1]
    return finding(
        all(a.layers <= b.layers and a.hidden <= b.hidden for a, b in pairs),
        small=small.name,
        large=large.name,
        layers_ratio=large.layers / small.layers,
        hidden_ratio=large.hidden / small.hidden,
        steps=len(pairs),
    )


@claim(
    "001-17",
    "A hidden size of 1,024 to 8,192 or more is enough for a modern model.",
    "现代模型的 d_model 在 1024 到 8192 之间，甚至更大。",
    source=Source.CATALOGUE,
    holds=(
        "Of {models} models above a billion parameters, {above_share} have at least 1,024; the widest, {widest}, "
        "has {hidden}.",
        "{models} 个十亿参数以上的模型中，{above_share} 不小于 1024；最宽的是 {widest}，为 {hidden}。",
    ),
)
def hidden_sizes_in_use() -> Finding:
    """The hidden sizes of all models above a billion parameters."""
    found = between(BILLION, 1e13)
    widest = max(found, key=lambda m: m.hidden)
    above = share(found, lambda m: m.hidden >= 1024)
    return finding(above == 1, models=len(found), above_share=above, widest=widest.name, hidden=widest.hidden)
