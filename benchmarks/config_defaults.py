"""What does a model's configuration class answer for a field that a published config.json leaves out?

Writes `src/deepwide/formats/defaults.json` from the installed transformers, one line per model type: the declared
default of every field that can shape a model (sizes, switches, kinds, lists of them), without those that cannot
(token ids, dropout, initialisation, epsilons, losses, rotary parameters, generation). In a line,

    a configuration inside the configuration is a nested table, with its own `model_type`
    null means that the class works the value out from other fields, or does without
    `_names` maps the other spellings that the class accepts to the one it stores
    `_derived` holds what the class worked out from its defaults: per-layer lists (one period of those that repeat)
               and values that no field declares. They are right for the default sizes, so the reader decides
               whether they apply; for a nested table they stand in the line of its model type, as does `_names`

    python benchmarks/config_defaults.py [FILE.json]
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

Table = dict[str, Any]

TARGET = Path(__file__).parents[1] / "src" / "deepwide" / "formats" / "defaults.json"

# Fields that no tensor's shape follows from, by what their name contains.
SHAPELESS = re.compile(
    r"token_?(id|ids|index|idx)$|_(id|index)s?_token|dropout|pdrop|drop_?(rate|path|prob|connect)|layerdrop|drop_\w+_rate"
    r"|initializer|_init_|_init$|init_(std|values)|(^|_)eps(ilon)?$|^(layer_)?rope_(parameters|theta|scaling)"
    r"|loss|_coef$|cost$|noise|temperature|thresh|momentum|softcap|scaling_factor|logit_cap"
    r"|^mask_(time|feature)_(prob|length|min)|^(forced|begin_suppress|suppress|no_repeat)_|penalty$|^summary_"
    r"|^output_(hidden_states|attentions|router_logits|past)|^return_\w+|dynamic_multimask|^scale_attn|_ssm_cache_dtype$"
    r"|^vision_feature_(layer|select_strategy)$|^norm_(mean|std)|^out_(features|indices)|^(langs|quantiles|lags_sequence)"
    r"|^(id2label|label2id|label_names|problem_type|transformers_version|architectures|_name_or_path|dtype|torch_dtype)$"
    r"|^(use_cache|chunk_size_feed_forward|gradient_checkpointing|pretraining_tp|num_beams|max_length|seed|floor_scale)$"
    r"|^(sampling_rate|hop_length|reshape_hidden_states|scale_embedding|norm_topk_prob|topk_method|scoring_func)$"
    r"|^(image_grid_pinpoints|attn_temperature_tuning|rope_interleave|layer_rope_theta|query_pre_attn_scalar)$"
    r"|^(residual_in_fp32|rescale_prenorm_residual|use_mamba_kernels|num_logits_to_keep|reorder_and_upcast_attn)$"
    r"|^(tokenizer_class|cls_token|stage_names|use_return_dict)"
)
SHAPING_FLOAT = re.compile(r"ratio|factor|expan|dim_multiplier|width_mult|depth_mult|fraction|_coefficient$")


def kept(name: str, value: Any) -> bool:
    """Whether a field can matter for the shape of a tensor."""
    if SHAPELESS.search(name):
        return False
    if isinstance(value, float):
        return bool(SHAPING_FLOAT.search(name))
    if isinstance(value, list | tuple):
        return all(kept(name, item) for item in value)
    if isinstance(value, dict):
        return all(kept(name, item) for item in value.values())
    return value is None or isinstance(value, bool | int | str)


def declared(kind: type) -> Table:
    """The defaults written in a configuration class."""
    table = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            table[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            table[field.name] = field.default_factory()
    return table


def fresh(kind: type) -> Any:
    """A configuration built from defaults alone, or None where the class refuses its own."""
    try:
        return kind()
    except Exception:  # whatever a foreign class raises means the same here
        return None


def shown(config: Any) -> Table:
    """What a configuration holds, read past its accessors: some refuse to show a field that differs between layers."""
    return {} if config is None else vars(config)


def period(values: Any) -> Any:
    """A list that repeats a pattern, cut to one round of it; anything else as it is."""
    if not isinstance(values, list | tuple):
        return values
    rounds = (n for n in range(1, len(values) // 2 + 1) if all(v == values[i % n] for i, v in enumerate(values)))
    return values[: next(rounds, len(values))]


def asides(kind: Any, derived: Table) -> Table:
    """What stands beside the defaults of a class."""
    names = {other: name for other, name in kind.attribute_map.items() if not SHAPELESS.search(name)}
    tables = {"_names": names, "_derived": {name: period(value) for name, value in derived.items()}}
    return {name: table for name, table in tables.items() if table}


def stated(kind: Any, name: str) -> Table:
    """What a configuration class says itself about the one inside it under `name`."""
    inner = kind.sub_configs_defaults.get(name)
    return {} if inner is None else dict(inner.init_kwargs)


def line(config: Any, kind: Any, common: Table, said: Table) -> Table:
    """The defaults of one class, seen an instance of it to which a configuration around it may have `said` its own."""
    from transformers import PreTrainedConfig

    written, plain, given = declared(kind), shown(fresh(kind)), shown(config)
    table: Table = {}
    derived: Table = {}
    for name, value in sorted((written | given).items()):
        if isinstance(value, PreTrainedConfig):
            nested = line(value, type(value), common, stated(kind, name))
            table[name] = {"model_type": value.model_type} | {n: v for n, v in nested.items() if n[0] != "_"}
        elif name.startswith("_") or not kept(name, value) or (name in common and common[name] == value):
            continue
        elif name in said or value != plain.get(name, value) or (name not in written and name not in plain):
            table[name] = value  # given by the configuration around it
        elif name in written:
            table[name] = written[name]
            if written[name] is None and isinstance(value, list | tuple):
                derived[name] = value
        elif name == "tie_word_embeddings":
            table[name] = value  # fixed by the class, not worked out
        else:
            derived[name] = value
    return table | asides(kind, derived)


def main() -> None:
    """Write the file (or the one named on the command line) and say how large it is."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    logging.disable(logging.WARNING)
    source = (
        f"declared defaults of the configuration classes of transformers {transformers.__version__} (Apache-2.0); "
        "regenerate with python benchmarks/config_defaults.py"
    )
    common = declared(transformers.PreTrainedConfig)
    kinds = {name: CONFIG_MAPPING[name] for name in sorted(CONFIG_MAPPING)}
    lines = {name: line(fresh(kind), kind, common, {}) for name, kind in kinds.items()}
    rows = [f"{json.dumps(name)}:{json.dumps(t, sort_keys=True, separators=(',', ':'))}" for name, t in lines.items()]
    target.write_text("{\n" + ",\n".join([f'"_source":{json.dumps(source)}', *rows]) + "\n}\n", encoding="utf-8")
    print(f"{target}: {len(rows)} model types, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
