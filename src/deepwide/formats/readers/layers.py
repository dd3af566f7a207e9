"""The layers of a model, as its config describes them: which kinds there are, and what each is made of.

A family differs from another only in its answers (`families/`) to the questions asked here, beside the sizes:

    norm, norms             the norm (a name of NORMS, or a Norm), and where it stands (see `arranged`)
    mixer_kinds, ffn_kinds  the kind of each layer's mixer and network, where not all are alike
    mixers, ffns            what builds the kinds that are not the attention and networks below
    cross                   what builds attention across to another stack, between mixer and network
    layer_extra             what a layer owns besides: parts, or a function of its kinds (`for_kinds`)
    qk_norm, qk_norm_over   true, or the name of a norm; over what, as in Attention
    attention_bias          the letters of the projections that have one
    attention_gate, sinks, value_dim, keys_width, key_rows   as in Attention
    window_everywhere       the window holds in all layers, not only in those of a sliding kind
    gated, ffn_bias         of networks; expert_gated, expert_bias of experts where they differ
    router_bias, balance, expert_output_bias, shared_gate    as in Experts
    shared_ffn              width of the shared expert where it is not that of so many experts
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from deepwide.architecture.attention import Attention
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Body, Branch, Layer, Run, Small
from deepwide.architecture.parts import LAYER, LAYER_NO_BIAS, RMS, Norm
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields

if TYPE_CHECKING:
    from deepwide.architecture.experts import Experts

Extra: TypeAlias = Callable[[Fields, str, str], tuple[Small, ...]]
NORMS = {"rms": RMS, "layer": LAYER, "layer_no_bias": LAYER_NO_BIAS, "none": Norm(kind="layer", scale=False)}
FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"
DENSE, SPARSE = "dense", "sparse"


def own(c: Fields, name: str, otherwise: Any = None) -> Any:
    """What the family or the config says, whatever the user changed it to."""
    return replace(c, changes={n: v for n, v in c.changes.items() if n != name})(name, otherwise)


def norm(c: Fields) -> Norm:
    """The family's norm."""
    choice = c("norm", "rms")
    return choice if isinstance(choice, Norm) else NORMS[choice]


def layer_runs(c: Fields) -> tuple[tuple[Run, ...], tuple[int, ...]]:
    """Equal layers gathered into runs, and the order in which the runs interleave."""
    layers = c.number("layers")
    mixers, ffns = c("mixer_kinds"), c("ffn_kinds")
    if (mixers is None and ffns is None) or hasattr(layers, "dtype"):
        return (Run(layer=layer(c, FULL, SPARSE if c("experts") else DENSE), layers=layers),), ()
    kinds = list(zip(mixers or [FULL] * layers, ffns or [DENSE] * layers, strict=True))
    number = {kind: i for i, kind in enumerate(dict.fromkeys(kinds))}
    order = tuple(number[kind] for kind in kinds)
    build = layer_builder(c)
    runs = tuple(
        Run(layer=build(*kind), layers=order.count(i), name=_run_name(kind, list(number))) for kind, i in number.items()
    )
    return runs, order if len(number) > 1 else ()


def _run_name(kind: tuple[str, str], distinct: list[tuple[str, str]]) -> str:
    """A short name that tells this run from the others: only what differs is said."""
    if len(distinct) == 1:
        return ""
    differs = [len({k[i] for k in distinct}) > 1 for i in (0, 1)]
    words = [str(word).replace("_attention", "") for word, differ in zip(kind, differs, strict=True) if differ]
    return "_".join(words)


def layer(c: Fields, mixer_kind: str, ffn_kind: str) -> Layer:
    """One layer of these kinds."""
    return layer_builder(c)(mixer_kind, ffn_kind)


def layer_builder(c: Fields) -> Callable[[str, str], Layer]:
    """What makes a layer of its kinds: mixer, attention across to another stack if any, network, and their norms.

    The family's builders are asked for once, since a rule may have to walk all layers to list them.
    """
    mixers, ffns, cross, habits = c("mixers", {}), c("ffns", {}), c.rule.get("cross"), norm_habit(c)

    def build(mixer_kind: str, ffn_kind: str) -> Layer:
        mixer = mixers.get(mixer_kind, attention)(c, mixer_kind)
        network = ffns.get(ffn_kind, experts if ffn_kind == SPARSE else feed_forward)(c, ffn_kind)
        across = cross(c) if cross else None
        bodies: tuple[Body, ...] = tuple(body for body in (mixer, across, network) if body is not None)
        extra = c("layer_extra", ())
        extra = kept(c, extra(c, mixer_kind, ffn_kind) if callable(extra) else extra)
        habit = habits[mixer_kind] if isinstance(habits, dict) else habits
        return Layer(branches=arranged(c, bodies, habit), parallel=habit.startswith("parallel"), extra=extra)

    return build


def for_kinds(extra: Extra) -> Callable[[Fields], Extra]:
    """What a layer owns besides, where it depends on its kinds: the answer to `layer_extra` is then a function."""
    return lambda c: extra


def norm_habit(c: Fields) -> Any:
    """Where norms stand (see `arranged`): as the user wishes, unless the parts of a layer bring their own."""
    habit = c("norms", "pre")
    if "norms" in c.changes and (usual := own(c, "norms", "pre")) != habit and usual in ("inside", "none"):
        raise BadInput(f"{c.where}: norms={habit} cannot be: the parts of this family's layers bring their own norms")
    return habit


def final_norm(c: Fields) -> bool:
    """Whether a norm follows the last layer: layers that end in one have none, so it changes with the user's habit."""
    asked = c.flag("final_norm", True)
    if "norms" not in c.changes:
        return asked
    post = c("norms") == "post"
    if post == (own(c, "norms", "pre") == "post") or asked != post:
        return asked
    c.notes.append(f"norms={c('norms')}: {'no' if post else 'a'} norm follows the last layer")
    return not post


def kept(c: Fields, extra: tuple[Small, ...]) -> tuple[Small, ...]:
    """What a family owns besides, less its tables of relative positions where the user chose other positions."""
    if "positions" not in c.changes or own(c, "positions") == c.changes["positions"]:
        return extra
    return tuple(small for small in extra if getattr(small, "part", "") != "position")


def arranged(c: Fields, bodies: tuple[Body, ...], habit: str) -> tuple[Branch, ...]:
    """Residual branches, by the family's habit (which may be given for each kind of mixer).

    pre         a norm before each           post      a norm after each sum (BERT)
    sandwich    a norm before and after      after     a norm after each branch, before the sum (OLMo 2)
    parallel    one norm for all branches    parallel2 a norm for each of the parallel branches
    none        no norm around them          inside    none either, because the bodies bring their own
    """
    n = norm(c)
    if habit == "parallel":
        return tuple(Branch(body=body, before=n if i == 0 else None) for i, body in enumerate(bodies))
    before, after = habit in ("pre", "sandwich", "parallel2"), habit in ("post", "after", "sandwich")
    return tuple(
        Branch(body=body, before=n if before else None, after=n if after else None, after_sum=habit == "post")
        for body in bodies
    )


def attention(c: Fields, kind: str = FULL) -> Attention:
    """The family's softmax attention; `kind` says whether this layer looks through a window."""
    heads, head_dim = attention_heads(c)
    qk_norm = c("qk_norm")
    if qk_norm is True and "qk_norm" in c.changes:
        qk_norm = own(c, "qk_norm") or True  # a family that has one keeps its own kind
    return Attention(
        heads=heads,
        kv_heads=kv_heads(c, heads),
        head_dim=head_dim,
        value_dim=c.maybe("value_dim"),
        bias=c.text("attention_bias"),
        qk_norm=(norm(c) if qk_norm is True else NORMS[qk_norm]) if qk_norm else None,
        qk_norm_over=c.text("qk_norm_over", "head"),
        sinks=c.flag("sinks"),
        gate=c.text("attention_gate"),
        window=c.maybe("window") if kind == SLIDING or c.flag("window_everywhere") else None,
    )


def attention_heads(c: Fields) -> tuple[Any, Any]:
    """Query heads and their width; the width is hidden / heads unless it is given."""
    given = c.maybe("head_dim")
    heads = c.positive("heads")
    return heads, c.divided("hidden", "heads") if given is None else given


def kv_heads(c: Fields, heads: Any) -> Any:
    """Key/value heads: as many as query heads unless said otherwise; they must divide them."""
    groups = c.number("kv_heads", heads)
    c.multiple_of("heads", heads, "kv_heads", groups)
    return groups


def cross_attention(c: Fields) -> Attention:
    """Attention whose queries are the decoder's and whose keys and values are made of the encoder's output."""
    heads, head_dim = attention_heads(c)
    return Attention(
        heads=heads,
        kv_heads=kv_heads(c, heads),
        head_dim=head_dim,
        bias=c.text("attention_bias"),
        keys="encoder",
        keys_width=c.maybe("keys_width"),
        key_rows=c.maybe("key_rows"),
        name="cross_attention",
    )


def feed_forward(c: Fields, kind: str = DENSE) -> FeedForward:
    """The family's dense feed-forward network; its width is 4 hidden where the config leaves it out."""
    return FeedForward(
        ffn=c.number("ffn", 4 * c.number("hidden")),
        gated=c.flag("gated", True),
        bias=c.flag("ffn_bias"),
        activation=c.text("activation", "silu"),
    )


def experts(c: Fields, kind: str = SPARSE) -> Experts:
    """The family's mixture of experts."""
    from deepwide.architecture.experts import Experts

    ffn = c.number("expert_ffn", c("ffn"))
    number = c.number("experts")
    return Experts(
        experts=number,
        active_experts=active_experts(c, number),
        ffn=ffn,
        gated=c.flag("expert_gated", c.flag("gated", True)),
        bias=c.flag("expert_bias"),
        activation=c.text("activation", "silu"),
        router_bias=c.flag("router_bias"),
        balance=c.flag("balance"),
        output_bias=c.flag("expert_output_bias"),
        shared=_shared_expert(c, ffn),
        shared_gate=c.flag("shared_gate"),
    )


def active_experts(c: Fields, experts: Any) -> Any:
    """Experts that a token meets, of so many."""
    active = c.number("active_experts", 1)
    if isinstance(experts, int) and isinstance(active, int) and active > experts:
        raise BadInput(f"{c.where}: {c.spelled('active_experts')}={active} exceeds {c.spelled('experts')}={experts}")
    return active


def _shared_expert(c: Fields, ffn: Any) -> FeedForward | None:
    """The network every token passes: of its own width, or as wide as so many experts."""
    width = c("shared_ffn")
    if width is None:
        copies = c.number("shared_experts", 0)
        if isinstance(copies, int) and copies == 0:
            return None
        width = copies * ffn
    elif c.checked("shared_ffn", width) == 0:
        return None
    return FeedForward(ffn=width, gated=c.flag("gated", True), bias=c.flag("ffn_bias"), name="shared")
