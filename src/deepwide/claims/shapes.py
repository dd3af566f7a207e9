"""Deep and wide shapes at equal parameters, and three sizes of them: the pairs that several claims look at."""

from __future__ import annotations

from functools import cache

from deepwide.answers.compare import Comparison, Verdict, compare
from deepwide.answers.explain import Explanation, explain
from deepwide.answers.explain.shapes import Counterfactual
from deepwide.answers.shape import Shape
from deepwide.claims.claim import Text

SIZES = {"1B": "llama-3.2-1b", "8B": "llama-3-8b", "70B": "llama-3-70b"}
DEEP, WIDE = "width × 2/3", "width × 3/2"  # what stands for deep and for wide: more than twice apart in width
ON = "h100"
DEVICES = 64  # of a training step: eight nodes, so that every size has a plan that fits

# What deep and wide are held against each other on; counts that follow from whole layers missing equal size are not.
AXES = {
    "loss": Text("loss", "损失"),
    "decode time": Text("time of a token", "每 token 用时"),
    "prefill time": Text("time of a prompt", "读取提示用时"),
    "training step": Text("time of a training step", "训练一步用时"),
    "launches": Text("kernels a pass", "每次前向的算子数"),
    "launch time": Text("time of starting them", "算子启动开销"),
    "all-reduces": Text("all-reduces a pass", "每次前向的 All-Reduce 次数"),
    "all-reduce time": Text("their time for a token", "每 token 的 All-Reduce 用时"),
    "intensity": Text("FLOP per byte moved", "每字节 FLOP"),
    "tile fill": Text("matrix-unit fill", "矩阵单元填充率"),
    "largest layer": Text("largest layer", "最大单层"),
    "inference memory": Text("memory to serve", "推理内存"),
    "training memory": Text("memory to train on one device", "单设备训练内存"),
    "KV cache": Text("KV cache a token", "每 token 的 KV 缓存"),
    "gradient path": Text("residual branches to the input", "梯度路径（残差分支数）"),
}


@cache
def explained(size: str) -> Explanation:
    """A model of that size beside other shapes with as many parameters."""
    return explain(SIZES[size], on=ON, devices=DEVICES)


def other(size: str, label: str) -> Counterfactual:
    """One of those other shapes, by what was asked of it: `width × 2`, `ffn × 1/2`."""
    return next(each for each in explained(size).counterfactuals if each.label == label)


@cache
def opposed(size: str) -> Comparison:
    """The deep and the wide shape of a size, side by side."""
    return compare([other(size, label).shape.model for label in (DEEP, WIDE)], on=ON, devices=DEVICES)


def deep(size: str) -> Shape:
    """The deeper of the two."""
    return opposed(size).models[0]


def wide(size: str) -> Shape:
    """The wider of the two."""
    return opposed(size).models[1]


def verdict_on(size: str, criterion: str) -> Verdict:
    """Which of the two is ahead on a criterion, and by how much."""
    return next(each for each in opposed(size).verdict if each.criterion == criterion)


def winner(size: str, criterion: str) -> str:
    """Who is ahead: `deep`, `wide`, or `tie`."""
    ahead = verdict_on(size, criterion).winner
    return "tie" if ahead is None else "deep" if ahead == deep(size).model else "wide"
