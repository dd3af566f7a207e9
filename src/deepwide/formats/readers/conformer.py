"""Conformer layers (arXiv:2005.08100): a network, attention, a convolution over time, a second network, a norm.

Questions to a rule, beside those of the layers: `convolution`, the parts of the third branch, and `attention_extra`,
what the attention has besides.
"""

from __future__ import annotations

from dataclasses import replace

from deepwide.architecture.composite import Assembly
from deepwide.architecture.model import Branch, Layer, Run
from deepwide.architecture.parts import NormLayer
from deepwide.formats.fields import Fields
from deepwide.formats.readers.layers import SLIDING, attention, feed_forward, norm


def conformer(c: Fields) -> tuple[tuple[Run, ...], tuple[int, ...]]:
    """Equal layers; in a `sandwich` the two networks and the attention are normed after as well."""
    n, feed = norm(c), feed_forward(c)
    after = n if c.text("norms") == "sandwich" else None
    branches = (
        Branch(body=replace(feed, name="ffn_in"), before=n, after=after),
        Branch(body=attention(c, SLIDING), before=n, after=after, extra=c("attention_extra", ())),
        Branch(body=Assembly(parts=c("convolution", ()), name="convolution"), before=n),
        Branch(body=replace(feed, name="ffn_out"), before=n, after=after),
    )
    layer = Layer(branches=branches, extra=(NormLayer(norm=n, name="norm"),))
    return (Run(layer=layer, layers=c.number("layers")),), ()
