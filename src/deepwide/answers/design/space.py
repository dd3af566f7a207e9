"""The space that a design is looked for in: the ranges asked for, and those of the model to be like."""

from __future__ import annotations

from dataclasses import replace

from deepwide.answers.design.wanted import BUDGETS, Wanted, mixture
from deepwide.answers.models import Model, find_model
from deepwide.architecture.sizes import Sizes, int_or_none, sizes
from deepwide.design.space import SHARING, Mixture, Space, Template, searchable, spelled, uneven
from deepwide.errors import BadInput

DEFAULT_VOCAB = 128_256
SAME_SIZE = 0.002  # a share of the parameters below which a model is rebuilt by its sizes
SMALL = "layers=2,hidden=256"  # of a family, to see what it is


def model_to_be_like(wanted: Wanted) -> Model | None:
    """The model to be like; None where only a family is named, or nothing."""
    from deepwide.facts.models import known

    if not wanted.like:
        return None
    if not isinstance(wanted.like, str):
        raise BadInput(f"like={wanted.like!r} must be the name of a model or of a family, such as llama-3-8b or qwen3")
    family = "," not in wanted.like and not known(wanted.like) and _is_family(wanted.like)
    model = find_model(f"like={wanted.like},{SMALL}" if family else wanted.like)
    if not model.described().lone_decoder:
        raise BadInput(f"like={wanted.like}: a design is a decoder of text, such as llama-3-8b or the family qwen3")
    return None if family else model


def _is_family(name: str) -> bool:
    from deepwide.formats import families

    try:
        families.rule(name)
    except BadInput:
        return False
    return True


def as_large(wanted: Wanted, like: Model) -> Wanted:
    """The size of the model to be like, where no budget is given."""
    if not wanted.gives(*BUDGETS):
        wanted = replace(wanted, parameters=int(like.ledger.parameters()))
    return wanted


def space_of(wanted: Wanted, like: Model | None) -> Space:
    """The ranges that were asked, the defaults for the others."""
    own = sizes(like.described()) if like else None
    base = Space()
    family = like.described().family if like else (wanted.like or "llama")
    tied = wanted.tied if wanted.tied is not None else (_tied(like) if like else False)
    context = int(own.context) if own and own.context and _learned(like) else None
    vocab = tuple(wanted.vocab) or ((int(own.vocab),) if own else (DEFAULT_VOCAB,))
    mixtures = tuple(mixture(each) for each in wanted.experts) or (_mixture(own) if own else base.mixtures)
    experts = own is not None and own.experts is not None
    space = replace(
        base,
        apart=uneven(family),
        template=Template(
            family=family,
            mixture_family=family if experts else base.template.mixture_family,
            tied=tied,
            context=context,
        ),
        layers=wanted.layers or base.layers,
        hidden=wanted.hidden or base.hidden,
        head_dims=tuple(wanted.head_dims) or (_head_dims(own) if own else base.head_dims),
        query_widths=_query_widths(own) if own else base.query_widths,
        sharing=_sharing(own) if own else base.sharing,
        kv_heads=tuple(wanted.kv_heads),
        ffn_ratios=tuple(wanted.ffn_ratios) or (_ratios(own) if own else base.ffn_ratios),
        vocabs=vocab,
        mixtures=mixtures,
    )
    if not searchable(space):
        raise BadInput(
            f"like={family}: its layers are built by their widths, so it is not searched; try llama or qwen3"
        )
    return space


def _head_dims(own: Sizes) -> tuple[int, ...]:
    width = int_or_none(own.head_dim)
    if width and own.kv_heads is None:
        return (width,)  # latent attention: its heads are not formed from the hidden size
    return tuple(sorted({*Space().head_dims, *((width,) if width else ())}, reverse=True))


def _mixture(own: Sizes) -> tuple[Mixture, ...]:
    """The experts of the model to be like; dense where it has none."""
    if own.experts is None or own.active_experts is None:
        return (Mixture(),)
    return (Mixture(int(own.experts), int(own.active_experts)),)


def _ratios(own: Sizes) -> tuple[float, ...]:
    """FFN over hidden, all that a token meets: the usual ones, and that of the model to be like."""
    usual = set(Space().ffn_ratios)
    if own.ffn:
        usual.add(float(_mixture(own)[0].active * own.ffn / own.hidden))
    return tuple(sorted(usual))


def unlike(space: Space, like: Model) -> str | None:
    """What of the model to be like the space does not keep: choices of its own that are not its family's."""
    own = sizes(like.described())
    named = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")
    row = {name: int(value) for name in named if (value := getattr(own, name)) is not None}
    if len(row) < len(named):
        return None
    row |= {"experts": space.mixtures[0].experts, "active_experts": space.mixtures[0].active}
    again, parameters = int(find_model(spelled(space, row)).ledger.parameters()), int(like.ledger.parameters())
    if abs(again / parameters - 1) < SAME_SIZE:
        return None
    return (
        f"of {like.name} the sizes, vocabulary, tying and experts are kept; its other choices are those of the family "
        f"{like.described().family}, which makes {again / parameters - 1:+.1%} of its parameters"
    )


def _query_widths(own: Sizes) -> tuple[float, ...]:
    """The width of all heads over hidden: 1 in most models, and that of the model to be like."""
    if not own.heads or not own.head_dim:
        return Space().query_widths
    width = float(own.heads * own.head_dim / own.hidden)
    return (width,) if own.kv_heads is None else tuple(sorted({1.0, width}))


def _sharing(own: Sizes) -> tuple[int, ...]:
    """Query heads to a KV head: as in the model to be like, or fewer."""
    if not own.heads or not own.kv_heads:
        return (1,) if own.heads else SHARING
    most = max(1, int(own.heads) // int(own.kv_heads))
    return tuple(n for n in range(1, most + 1))


def _tied(like: Model | None) -> bool:
    return like is not None and any(w.tied and w.part == "head" for w in like.ledger.weights)


def _learned(like: Model | None) -> bool:
    return like is not None and any(w.part == "position" for w in like.ledger.weights)
