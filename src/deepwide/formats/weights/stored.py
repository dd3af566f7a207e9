"""A ledger from nothing but stored tensors: exact totals, with parts told by the names of the tensors.

This serves files that come without a description of the model, and models built by transformers as a fallback.
Tensors of equal layers are gathered into one row. What names and shapes cannot say is said in the notes.
"""

from __future__ import annotations

import re
from collections import Counter
from math import prod

from deepwide.architecture.ledger import Ledger
from deepwide.architecture.rows import Op, Part, Weight
from deepwide.formats.weights.tensors import Container, StoredTensor, embedding_and_head, is_parameter, packed

NORM = re.compile(r"norm|\bln|_ln")  # in the last word of a name: blocks are called after norms, too
# Else the first rule that matches the name of a tensor says which part of a model it belongs to. Names are those of
# transformers and of llama.cpp, in lower case, with stars for numbers.
PARTS: tuple[tuple[str, Part], ...] = (
    (r"router|ffn_gate_inp|expert_bias|shared_expert_gate|(mlp|moe|mixer|feed_forward|wg|ffn\.gate)\.gate\.", "router"),
    (r"wpe|position|pos_emb|embed_pos|rel_embeddings|relative_attention_bias|attn_rel_b", "position"),
    (r"^(output|head|cls|decoder)\.(weight|bias|dense)|lm_head|embed_out|predictions|^vocab_(transf|proj)", "head"),
    (r"embd|embed|wte|token_type|shared\.weight|^transformer\.w\.|patch|\bconv[12]\.", "embedding"),
    (
        r"mamba|\bssm_|linear_attn|shortconv|\*\.conv\.|^rwkv\.blocks\.\*\.attention\.|mlstm|\brec_|rg_lru|linear_[xy]",
        "recurrent",
    ),
    (r"attn|attention|\b[qkvo]_proj|\batt\.|\b(q|k|v|o)\.weight", "attention"),
    (r"mlp|ffn|feed_?forward|fc\d|expert|(up|down|gate)_proj|intermediate|relu|\bff\.|\.\*\.output\.|_4h", "ffn"),
    (r"conv_?1d|mixer|temporal_block", "recurrent"),
)
EXPERTS = re.compile(r"(?<!shared_)experts\b|_exps\b")
# A decoder stores its token table under one of these names; where no head lies beside it, the table serves as one.
TABLES_OF_DECODERS = (
    "embed_tokens.weight",
    "wte.weight",
    "token_embd.weight",
    "tok_embeddings.weight",
    "transformer.word_embeddings.weight",
    "backbone.embeddings.weight",
)
WORDS = ("U32", "I32", "U8")  # no format keeps a single weight in these
NEVER_MULTIPLIED = ("embedding", "position", "norm")


def stored_ledger(container: Container, experts: int | None = None, active_experts: int | None = None) -> Ledger:
    """Weights and the matrix products they imply. Nothing is known of attention scores or caches.

    A token meets all experts, unless it is known that it meets `active_experts` of `experts`.
    """
    shapes = Counter((_starred(t.name), t.shape) for t in container.tensors if is_parameter(t))
    weights = [_weight(name, shape, repeat) for (name, shape), repeat in shapes.items()]
    if experts and active_experts:
        weights = [_met(w, experts, active_experts) for w in weights]
    if table := _serves_as_head(container):
        weights.append(Weight(name="head (tied)", part="head", role="output", shape=table.shape, tied=table.name))
    return Ledger(weights=tuple(weights), ops=tuple(_product(w) for w in weights if _multiplied(w)), caches=())


def stored_notes(container: Container, experts_known: bool = False, caches_known: bool = False) -> tuple[str, ...]:
    """What a list of tensors leaves open, and what of it was not counted."""
    notes = [] if caches_known else ["tensors say nothing of attention scores and KV caches: neither is counted"]
    if not experts_known and any(EXPERTS.search(t.name) for t in container.tensors):
        notes.append("how many experts a token meets is not stored: active parameters and FLOPs include them all")
    if names := holds_several(container):
        notes.append(f"{len(names)} tensors ({names[0]} first) hold several weights in a number: there are more")
    if left := [t for t in container.tensors if not is_parameter(t)]:
        size = sum(prod(t.shape) for t in left)
        notes.append(f"{len(left)} tensors ({left[0].name} first) of {size:,} numbers are no parameters, and left out")
    if table := _serves_as_head(container):
        notes.append(f"no output head is stored: {table.name} is taken to serve as one")
    return tuple(notes)


def holds_several(container: Container) -> tuple[str, ...]:
    """Names of the tensors whose numbers each hold several weights: packed ones, and matrices of words."""
    words = (t.name for t in container.tensors if t.dtype in WORDS and len(t.shape) > 1 and is_parameter(t))
    return tuple(dict.fromkeys((*packed(container), *words)))


def part_of(name: str) -> Part:
    """The part of a model that a tensor belongs to, by its name."""
    lower = _starred(name).lower()
    if NORM.search(_role(lower)):
        return "norm"
    return next((part for pattern, part in PARTS if re.search(pattern, lower)), "other")


def _starred(name: str) -> str:
    """The name with the number of its layer (and expert) replaced by a star."""
    return ".".join("*" if word.isdecimal() else word for word in name.split("."))


def _role(name: str) -> str:
    """The last word of a name that is neither a number nor the kind of tensor."""
    words = [word for word in name.split(".") if word not in ("*", "weight", "bias")]
    return words[-1] if words else name


def _weight(name: str, shape: tuple[int, ...], repeat: int) -> Weight:
    """A row; experts that lie in one tensor become copies, all of which may be met."""
    leading = 3 if name.endswith(".weight") or "bias" not in name else 2
    copies, own = (shape[0], shape[1:]) if EXPERTS.search(name) and len(shape) == leading else (1, shape)
    return Weight(
        name=name, part=part_of(name), role=_role(name), shape=own, repeat=repeat, copies=copies, active=copies
    )


def _met(w: Weight, experts: int, active_experts: int) -> Weight:
    """A row of experts, of which a token meets so many; experts stored one by one are gathered again."""
    if not EXPERTS.search(w.name):
        return w
    if w.copies == experts:
        return w._replace(active=active_experts)
    if w.copies == 1 and ".*." in w.name and w.repeat % experts == 0:
        return w._replace(repeat=w.repeat // experts, copies=experts, active=active_experts)
    return w


def _serves_as_head(container: Container) -> StoredTensor | None:
    """The token table of a decoder without a head of its own."""
    table, head = embedding_and_head(container)
    encoder = any("token_type" in t.name for t in container.tensors)
    return table if table and not head and not encoder and table.name.endswith(TABLES_OF_DECODERS) else None


def _multiplied(w: Weight) -> bool:
    """Whether a row is a matrix: two dimensions, and not a table that is looked up or a norm or a bias per head."""
    matrix = len(w.shape) == 2 and w.part not in NEVER_MULTIPLIED
    return matrix and (w.name.endswith(".weight") or bool(w.copies != 1 or w.tied))


def _product(w: Weight) -> Op:
    return Op(
        kind="matmul",
        name=w.name,
        part=w.part,
        k=w.shape[1],
        n=w.shape[0],
        repeat=w.repeat,
        active=w.active,
        weight=w.name,
    )
