"""Trained models made to fit: low-rank adapters beside frozen weights, and students that learn from teachers."""

from deepwide.lab.adapt.distillation import Distillation, refuse_other_kind
from deepwide.lab.adapt.lora import Adapter, adapt, adapter_names, merge
from deepwide.lab.adapt.measuring import Accounts, measured
from deepwide.lab.adapt.peft_files import saved_as, write_adapter

__all__ = [
    "Accounts",
    "Adapter",
    "Distillation",
    "adapt",
    "adapter_names",
    "measured",
    "merge",
    "refuse_other_kind",
    "saved_as",
    "write_adapter",
]
