"""Language models with towers in front: `text` says which model is wrapped, `towers` what it sees and hears through.

The text may be a config inside (`Inner`), or the rule of a family for the config's own fields. Further questions:

    whole          the family has no class for its language model alone
    text_by_task   the task "causal" means the language model alone where no class is named
    own_head       the language model keeps its head as it is; otherwise a wrapper's has no bias
    told           values that the language model must know of the towers
    stacks         further stacks in front, which are no towers
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from deepwide.architecture.model import Architecture, Small, Stack
from deepwide.architecture.parts import Head
from deepwide.formats.fields import Fields
from deepwide.formats.readers.inner_configs import Inner, missing, nested
from deepwide.formats.readers.towers import tower


def wrapped(c: Fields) -> Architecture:
    """The language model, with the towers below it where the class has them."""
    text = language_model(c)
    if text_alone(c):
        return text
    stacks = (*towers(c, text), *text.stacks)
    return replace(text, stacks=stacks, notes=tuple(c.notes))


def text_alone(c: Fields) -> bool:
    """Whether the class asked for is the language model without its towers."""
    if c.flag("whole"):
        return False
    named = c.text("architecture")
    return named.endswith("ForCausalLM") if named else c.text("task") == "causal" and c.flag("text_by_task")


def language_model(c: Fields) -> Architecture:
    """The wrapped language model, tied as the outer config says, and `told` what it must know of the towers."""
    text, alone = c.rule["text"], text_alone(c)
    changes = c.changes if alone else {"tied": c.flag("tied"), **c("told", {}), **c.changes}
    if isinstance(text, Inner):
        fields = nested(c, "text_config", text, changes)
    else:
        from deepwide.formats.families import rule  # the table of families is built from files that import this one

        fields = replace(c, rule=rule(text) if isinstance(text, str) else text, changes=changes)
    model: Architecture = fields.rule["reader"](fields)
    return model if alone or c.flag("own_head") else replace(model, head=tuple(plain(part) for part in model.head))


def plain(part: Small) -> Small:
    """The wrapper's output head has no bias, whatever the wrapped family's own has."""
    return replace(part, bias=False) if isinstance(part, Head) and part.bias else part


def towers(c: Fields, text: Architecture) -> Iterator[Stack]:
    """Each tower that the config has, with what joins it to the language model on top."""
    for name, inner in c.rule.get("towers", {}).items():
        if missing(c, name, inner):
            continue
        fields = nested(c, name, inner)
        *stages, top = tower(fields, name.removesuffix("_config"))
        joint = inner.join(c, fields, text.main.hidden) if inner.join else ()
        yield from (*stages, replace(top, after=(*top.after, *joint)))
    if "stacks" in c.rule:
        yield from c.rule["stacks"](c, text.main.hidden)
