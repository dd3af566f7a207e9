"""The fields of a config, asked for by the project's own names.

A question such as `c.number("heads")` is answered by the first that knows:
what the user changed, what the family always does, what the config says in any of its spellings,
what the family's configuration class falls back to, and last the reader's own default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deepwide.errors import BadInput

# The project's name -> how published configs spell it, the commonest first.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model", "dim", "model_dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv", "num_query_groups", "multi_query_group_num"),
    "head_dim": ("head_dim", "attention_head_dim", "kv_channels", "d_kv", "head_size"),
    "ffn": ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "inner_dim", "ffn_hidden_size"),
    "vocab": ("vocab_size", "n_vocab", "padded_vocab_size"),
    "context": ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "max_sequence_length", "seq_length"),
    "tied": ("tie_word_embeddings",),
    "window": ("sliding_window",),
    "activation": ("hidden_act", "activation_function", "hidden_activation", "mlp_hidden_act"),
    "experts": ("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts"),
    "active_experts": ("num_experts_per_tok", "moe_top_k", "moe_topk", "top_k_experts", "moe_k"),
    "expert_ffn": ("moe_intermediate_size",),
    "shared_experts": ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts"),
    "first_dense": ("first_k_dense_replace",),
    "types": ("type_vocab_size",),
}
# Questions of structure: a family's rule answers them, never a field that happens to be called so.
STRUCTURE = frozenset(("mixers", "ffns", "mixer_kinds", "ffn_kinds", "norm", "norms", "after", "sharing"))
STRUCTURE |= {"layer_extra", "embedding_extra", "head_extra"}
SPELLED = {name: (*spellings, name) for name, spellings in SPELLINGS.items()}
LARGEST = 10**12
MOST_LAYERS = 100_000
PER_LAYER = "per_layer_config"  # of any config of transformers: tables of fields by the numbers of layers
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class Field:
    """A choice that a family reads from its config: the first of `names` that is there, else `otherwise`."""

    names: tuple[str, ...]
    otherwise: Any = None


def read(*names: str, otherwise: Any = None) -> Field:
    """The choice is what the config says under one of these names."""
    return Field(names, otherwise)


def says(flag: str, yes: Any = True, no: Any = False, otherwise: bool = False) -> Callable[[Fields], Any]:
    """The choice is `yes` or `no`, as a flag of the config says; where it is absent or null, as `otherwise` says."""
    return lambda c: yes if c.flag(flag, otherwise) else no


@dataclass(slots=True, kw_only=True)
class Fields:
    """A config, with the family's rule and defaults behind it.

    `changes` are the user's own values under the project's names; `where` names the file for error messages;
    `notes` collects in words what had to be assumed.
    """

    config: Mapping[str, Any]
    rule: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    where: str = "config"
    notes: list[str] = field(default_factory=list)

    def __call__(self, name: str, otherwise: Any = None) -> Any:
        """The value of a choice, unchecked; None where it is absent or null."""
        if name in self.changes:
            return self.changes[name]
        if name in self.rule:
            return self._ruled(self.rule[name], otherwise)
        if name in STRUCTURE:
            return otherwise
        value = self._first(SPELLED.get(name) or (name,))
        return otherwise if value is _ABSENT or value is None else value

    def _ruled(self, choice: Any, otherwise: Any) -> Any:
        if isinstance(choice, Field):
            value = self._first(choice.names)
            if value is _ABSENT or value is None:
                return otherwise if choice.otherwise is None else choice.otherwise
            return value
        return choice(self) if callable(choice) else choice

    def raw(self, *names: str) -> Any:
        """The value under the first of these names, in the config before the defaults, or a marker of absence."""
        return self._first(names)

    def _first(self, names: tuple[str, ...]) -> Any:
        for source in (self.config, self.defaults):
            for name in names:
                if name in source:
                    return source[name]
        return _ABSENT

    def has(self, name: str) -> bool:
        """Whether the user or the config itself (not its defaults) says so."""
        return name in self.changes or any(s in self.config for s in SPELLED.get(name) or (name,))

    def number(self, name: str, otherwise: Any = None) -> Any:
        """A whole number of at least 0, or what `otherwise` gives; an array passes as it is."""
        value = self(name, otherwise)
        if value is None:
            raise BadInput(f"{self.where}: {self.spelled(name)} is missing; give it, or --like a family that has it")
        return self.checked(name, value)

    def checked(self, name: str, value: Any) -> Any:
        """The value, if it is a whole number in range (or an array of them)."""
        if type(value) is not int:
            if isinstance(value, float) and value.is_integer():
                return self.checked(name, int(value))
            if not hasattr(value, "dtype"):
                raise BadInput(f"{self.where}: {self.spelled(name)}={short(value)} must be a whole number")
        elif not 0 <= value <= (MOST_LAYERS if name == "layers" else LARGEST):
            most = MOST_LAYERS if name == "layers" else LARGEST
            raise BadInput(f"{self.where}: {self.spelled(name)}={short(value)} must lie between 0 and {most}")
        return value

    def positive(self, name: str, otherwise: Any = None) -> Any:
        """A whole number of at least 1."""
        value = self.number(name, otherwise)
        if isinstance(value, int) and value < 1:
            raise BadInput(f"{self.where}: {self.spelled(name)}={value} must be at least 1")
        return value

    def maybe(self, name: str, otherwise: Any = None) -> Any:
        """A whole number, or `otherwise` where the config leaves it out or says null."""
        value = self(name, otherwise)
        return None if value is None else self.checked(name, value)

    def flag(self, name: str, otherwise: bool = False) -> bool:
        """A yes or no; absent and null count as `otherwise`, and a word is refused: "false" would count as yes."""
        value = self(name, otherwise)
        if isinstance(value, str):
            raise BadInput(f"{self.where}: {self.spelled(name)}={short(value)} must be true or false, without quotes")
        return otherwise if value is None else bool(value)

    def text(self, name: str, otherwise: str = "") -> str:
        """A word."""
        value = self(name, otherwise)
        return value if isinstance(value, str) else otherwise

    def listed(self, name: str) -> list[Any]:
        """A list, empty where absent; anything else is refused."""
        value = self(name, [])
        if not isinstance(value, list | tuple):
            raise BadInput(f"{self.where}: {self.spelled(name)}={short(value)} must be a list")
        if len(value) > MOST_LAYERS:
            raise BadInput(f"{self.where}: {self.spelled(name)} has {len(value)} entries, more than {MOST_LAYERS}")
        return list(value)

    def spelled(self, name: str) -> str:
        """How the user finds a name again: as they changed it, as the config spells it, or as a default of the family.

        A value that is in no file is said to be the family's, or the message would send the reader looking for it.
        """
        if name in self.changes:
            return name
        choice = self.rule.get(name)
        names = choice.names if isinstance(choice, Field) else (*SPELLINGS.get(name, ()), name)
        given = next((n for n in names if n in self.config), None)
        assumed = next((n for n in names if self.defaults.get(n) is not None), None)
        return given or (f"the family's default {assumed}" if assumed else names[0])

    def divided(self, name: str, by: str) -> Any:
        """`name` / `by`, which must come out whole."""
        total, parts = self.number(name), self.number(by)
        if hasattr(total, "dtype") or hasattr(parts, "dtype"):
            return total // parts
        if parts == 0 or total % parts:
            raise BadInput(
                f"{self.where}: {self.spelled(by)}={parts} does not divide {self.spelled(name)}={total}, "
                "and head_dim is not given"
            )
        return total // parts

    def multiple_of(self, name: str, value: Any, by: str, parts: Any) -> None:
        """Refuses a `value` of `name` that so many `parts` (of the field `by`) do not divide; arrays pass."""
        if isinstance(value, int) and isinstance(parts, int) and (parts < 1 or value % parts):
            raise BadInput(
                f"{self.where}: {self.spelled(name)}={value} must be a multiple of {self.spelled(by)}={parts}"
            )

    def ratio(self, name: str, otherwise: Any = None, *, least: float = 0, most: float = 1) -> Any:
        """A number above 0, from `least` to `most`."""
        value = self(name, otherwise)
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or value <= 0 or not least <= value <= most:
            raise BadInput(
                f"{self.where}: {self.spelled(name)}={short(value)} must be a number between {least} and {most}"
            )
        return value

    def inside(self, name: str, rule: Mapping[str, Any] | None = None) -> Fields:
        """The fields of a nested config, such as `text_config`; its absence means its defaults."""
        given, known = self.config.get(name), self.defaults.get(name)
        if given is not None and not isinstance(given, Mapping):
            raise BadInput(f"{self.where}: {name}={short(given)} must be a table of fields")
        inner = Fields(
            config=given or {},
            rule=self.rule if rule is None else rule,
            defaults=known if isinstance(known, Mapping) else {},
            changes=self.changes,
            where=f"{self.where}: {name}",
            notes=self.notes,
        )
        inner.refuse_unread()
        return inner

    def refuse_unread(self) -> None:
        """Refuses fields given layer by layer where the family's rule does not ask for them: they may change counts."""
        if self.config.get(PER_LAYER) and PER_LAYER not in self.rule:
            raise BadInput(
                f"{self.where}: {PER_LAYER} changes fields layer by layer, which is not read for this family; "
                "leave it out, or build the model exactly with --instantiate"
            )


def short(value: Any) -> str:
    """A value as an error message shows it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
