"""The questions as they come over HTTP: one class a question, its fields those of the function that answers it.

A field is left out of the call where the client left it out, so that defaults are told in one place: the function.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from deepwide.web.words import (
    LONGEST_MODEL,
    Devices,
    ModelName,
    Name,
    Number,
    On,
    OptionalModel,
    OptionalName,
    OptionalOn,
    Real,
    Runtime,
    Stored,
    Tokens,
    no_path,
)

MOST_COMPARED = 8
MOST_VALUES = 12  # of a list that a design may choose from
Bounds = Annotated[list[int], Field(min_length=2, max_length=2, description="The least and the most.")]
Budget = Annotated[Number, Field(description="The most parameters.", examples=[300_000_000])]


class Asked(BaseModel):
    """A question: unknown fields are refused, those left out take the default of the function."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def given(self) -> dict[str, Any]:
        """The keywords that the client gave."""
        return self.model_dump(exclude_unset=True)


class Nothing(Asked):
    """A question without fields."""


class Count(Asked):
    """Parameters of a model, part by part."""

    model: ModelName
    by: Literal["part", "role", "layer", "module"] = "part"
    explain: bool = False
    context: Number | None = None


class Memory(Asked):
    """Whether a model fits."""

    model: ModelName
    on: On
    devices: Devices = 1
    weights: Stored = "bf16"
    cache: Stored = "bf16"
    context: Number = 4096
    batch: Number = 1
    chunk: Number = 2048
    fused: bool = True
    train: bool = False
    lora: int | None = None
    targets: Name = "all"
    optimizer: Name = "adamw"
    recompute: Name = "none"
    attention: Name = "flash"
    zero: int = 0


class Formulas(Asked):
    """The formulae of the numbers of a memory question."""

    model: ModelName
    devices: Devices = 1
    weights: Stored = "bf16"
    cache: Stored = "bf16"
    context: Number = 4096
    batch: Number = 1


class Inference(Asked):
    """How fast a model reads and writes."""

    model: ModelName
    on: On
    tp: Devices = 1
    pp: Devices = 1
    batch: Number = 1
    input: Number = 1024
    output: Number = 256
    weights: OptionalName = ""
    cache: OptionalName = ""
    runtime: Runtime = ""
    concurrency: Number | None = None
    chunk: Number | None = None
    acceptance: float | None = None
    draft: int = 4
    draft_cost: float = 0.1


class Training(Asked):
    """What a training run takes."""

    model: ModelName
    on: On
    devices: Devices
    tokens: Tokens | None = None
    sequence: Number | None = None
    global_batch: Number | None = None
    plan: OptionalName = "auto"
    runtime: Runtime = ""
    precision: OptionalName = ""
    trainable: Literal["all", "lora"] = "all"
    rank: int = 16
    node_devices: Devices | None = None
    usd_per_hour: Real | None = None
    grid: Name = "world"
    pue: Real | None = None


class Loss(Asked):
    """How good a model will be."""

    model: ModelName
    tokens: Tokens
    law: Name = "shape"
    unique_tokens: Number | None = None
    serve_tokens: Number | None = None


class Compare(Asked):
    """Shapes side by side; `models` are parted by semicolons."""

    models: Annotated[
        str, Field(max_length=MOST_COMPARED * LONGEST_MODEL, examples=["llama-3-8b;llama-3-8b,layers=64,hidden=2880"])
    ]
    on: OptionalOn = ""
    tokens: Tokens | None = None
    context: Number = 4096
    devices: Devices | None = None

    @property
    def named(self) -> list[str]:
        """The MODELs."""
        return [no_path(word.strip()) for word in self.models.split(";") if word.strip()]


class Explain(Asked):
    """What the shape of a model buys and costs."""

    model: ModelName
    on: OptionalOn = ""
    tokens: Tokens | None = None
    context: Number = 4096
    devices: Devices | None = None
    tp: Devices | None = None


class DeepOrWide(Asked):
    """Shapes of equal size from wide to deep."""

    model: ModelName
    on: On
    tokens: Tokens | None = None
    context: Number = 4096
    devices: Devices | None = None
    training: bool = True


class Export(Asked):
    """The shape of a model in the words of an engine."""

    model: ModelName
    to: Annotated[Name, Field(description="An engine.", examples=["huggingface", "megatron", "litgpt"])]


class Search(Asked):
    """Rows of a catalogue whose name holds this text."""

    search: Annotated[str, Field(max_length=80)] = ""


class Accelerators(Search):
    """Accelerators whose name holds this text."""


class Claims(Asked):
    """Claims of a document, or with a verdict."""

    document: OptionalName = ""
    verdict: OptionalName = ""


class Design(Asked):
    """The best shape under limits; lists may have a dozen values."""

    on: On
    like: OptionalModel = ""
    parameters: Budget | None = None
    flops: Real | None = None
    days: Real | None = None
    usd: Real | None = None
    kg_co2e: Real | None = None
    memory_bytes: Number | None = None
    decode_s: Real | None = None
    ttft_s: Real | None = None
    any_speed: bool = False
    tokens: Tokens | None = None
    unique_tokens: Number | None = None
    serve_tokens: Number = 0
    context: Number = 4096
    batch: Number = 1
    devices: Devices | None = None
    serve_devices: Devices | None = None
    sequence: Number | None = None
    global_batch: Number | None = None
    runtime: Runtime = ""
    usd_per_hour: Real | None = None
    layers: Annotated[Bounds, Field(examples=[[8, 16]])] | None = None
    hidden: Annotated[Bounds, Field(examples=[[512, 1024]])] | None = None
    head_dims: Annotated[list[int], Field(max_length=MOST_VALUES)] = []
    kv_heads: Annotated[list[int], Field(max_length=MOST_VALUES)] = []
    ffn_ratios: Annotated[list[float], Field(max_length=MOST_VALUES)] = []
    vocab: Annotated[list[int], Field(max_length=MOST_VALUES)] = []
    tied: bool | None = None
    rows: Annotated[int, Field(ge=2, le=50)] = 9
    tolerance: Annotated[float, Field(gt=0, le=0.5)] = 0.03
