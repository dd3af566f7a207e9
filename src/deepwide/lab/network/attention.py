"""Multi-head attention as an Attention describes it: grouped heads, windows, norms of queries and keys, across stacks.

Shapes: B batch, T tokens read now, S tokens that can be seen, D hidden, H heads, K heads of keys and values, A width.
"""

from __future__ import annotations

from dataclasses import fields

from torch import Tensor, nn

from deepwide.architecture.attention import Attention as Description
from deepwide.errors import BadInput
from deepwide.lab.network.layers import Linear, norm_layer, side_by_side
from deepwide.lab.network.numerics import Numerics
from deepwide.lab.network.positions import rotated
from deepwide.lab.network.reading import Reading

BUILT = "heads kv_heads head_dim value_dim bias qk_norm qk_norm_over window keys keys_width one_projection name".split()


class Attention(nn.Module):
    """softmax(q kᵀ / sqrt(A)) v between the projections query, key, value and output.

    `slot` is its place among the attentions of the model, by which a cache finds its keys and values.
    """

    def __init__(self, a: Description, hidden: int, numerics: Numerics, slot: int) -> None:
        super().__init__()
        _refuse_unknown(a)
        self.heads, self.head_dim, self.slot = int(a.heads), int(a.head_dim), slot
        self.value_dim = int(a.head_dim if a.value_dim is None else a.value_dim)
        self.window = None if a.window is None else int(a.window)
        self.across, self.one_projection = bool(a.keys), a.one_projection
        self.scale = self.head_dim**-0.5 if numerics.score_scale is None else numerics.score_scale
        source = hidden if a.keys_width is None else a.keys_width
        self.query = Linear(hidden, a.heads * a.head_dim, bias="q" in a.bias)
        if not a.one_projection:
            self.key = Linear(source, a.kv_heads * a.head_dim, bias="k" in a.bias)
            self.value = Linear(source, a.kv_heads * self.value_dim, bias="v" in a.bias)
        self.output = Linear(a.heads * self.value_dim, hidden, bias="o" in a.bias)
        self.normed_whole = a.qk_norm_over == "width"
        self.query_norm = self.key_norm = None
        if a.qk_norm:
            heads, kv_heads = (a.heads, a.kv_heads) if self.normed_whole else (1, 1)
            self.query_norm = norm_layer(a.qk_norm, heads * a.head_dim, numerics.norm_eps)
            self.key_norm = norm_layer(a.qk_norm, kv_heads * a.head_dim, numerics.norm_eps)

    def forward(self, x_BTD: Tensor, reading: Reading) -> Tensor:
        """[B, T, D] to [B, T, D]: what each token gathers from those that it sees."""
        if self.across:
            q, k, v = self._across(x_BTD, reading)
            bias, causal = reading.source_mask(), False
        else:
            q, k, v = self._within(x_BTD, reading)
            bias, causal = reading.masks[self.window]
        y_BHTA = reading.attend(q, k, v, bias, causal, self.scale)
        y: Tensor = self.output(y_BHTA.transpose(1, 2).flatten(2))
        return y

    def _within(self, x_BTD: Tensor, reading: Reading) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, H, T, A], keys and values [B, K, S, A] of the stack's own tokens, cached ones included."""
        if self.one_projection:
            return self._one(x_BTD, reading)
        q, k, v = side_by_side(x_BTD, self.query, self.key, self.value)
        q = self._headed(self.query_norm, q)
        k = self._headed(self.key_norm, k)
        v = _heads(v, self.value_dim)
        if reading.rotation is not None:
            q, k = rotated(q, reading.rotation), rotated(k, reading.rotation)
        if reading.cache is not None:
            k = reading.cache.extended(self.slot, "keys", k)
            v = reading.cache.extended(self.slot, "values", v)
        return q, k, v

    def _one(self, x_BTD: Tensor, reading: Reading) -> tuple[Tensor, Tensor, Tensor]:
        """One projection serves as query, key and value; it is kept before it is turned, so that it is kept once."""
        q = self._headed(self.query_norm, self.query(x_BTD))
        v = q if reading.cache is None else reading.cache.extended(self.slot, "both", q)
        if reading.rotation is None or reading.key_rotation is None:
            return q, v, v
        return rotated(q, reading.rotation), rotated(v, reading.key_rotation), v

    def _across(self, x_BTD: Tensor, reading: Reading) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of this stack's tokens, keys and values of the other's, which are made once while generating."""
        q = self._headed(self.query_norm, self.query(x_BTD))
        cache = reading.cache
        k, v = (None, None) if cache is None else (cache.kept(self.slot, "keys"), cache.kept(self.slot, "values"))
        if k is None or v is None:
            assert reading.sources is not None
            k, v = side_by_side(reading.sources, self.key, self.value)
            k, v = self._headed(self.key_norm, k), _heads(v, self.value_dim)
            if cache is not None:
                cache.keep(self.slot, "keys", k)
                cache.keep(self.slot, "values", v)
        return q, k, v

    def _headed(self, norm: nn.Module | None, x_BTC: Tensor) -> Tensor:
        """[B, T, H * A] as [B, H, T, A], normed over all heads together or over each."""
        if norm is None:
            return _heads(x_BTC, self.head_dim)
        if self.normed_whole:
            return _heads(norm(x_BTC), self.head_dim)
        normed: Tensor = norm(_heads(x_BTC, self.head_dim))
        return normed


def _heads(x_BTC: Tensor, width: int) -> Tensor:
    return x_BTC.view(*x_BTC.shape[:2], -1, width).transpose(1, 2)


def _refuse_unknown(a: Description) -> None:
    """Refuses what the lab's attention does not compute, rather than building a model that is not the one counted."""
    for f in fields(a):
        if f.name not in BUILT and getattr(a, f.name) != f.default:
            raise BadInput(f"attention with {f.name}={getattr(a, f.name)!r} cannot be built; it can only be counted")
    if a.qk_norm and a.qk_norm_over == "heads":
        raise BadInput("attention with a norm of its own for every head (qk_norm_over='heads') cannot be built")
