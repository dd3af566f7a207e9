from __future__ import annotations

from deepwide.architecture.model import Architecture
from deepwide.cost.activation_habits import NO_DROPOUT, Dropout, habit
from deepwide.cost.activation_rules import Forward
from deepwide.cost.activation_stacks import model
from deepwide.cost.activation_tape import Tape
from deepwide.units import Num

ELEMENT_BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2}
def saved_activation_bytes(
    architecture: Architecture,
    *,
    batch: Num,
    tokens: Num,
    attention: str = "eager",
    dtype: str = "bf16",
    recompute: str = "none",
    dropout: Dropout = NO_DROPOUT,
) -> Num:
    r = Forward(tape=Tape(element_bytes=ELEMENT_BYTES[dtype]), habit=habit(architecture.family), dropout=dropout, batch=batch, tokens=tokens, attention=attention, recompute=recompute)
    model(r, architecture)
    return r.tape.kept_bytes
