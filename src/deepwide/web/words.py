"""What may be written in a request: names that can never be a path, counts such as 7B, choices in lower case.

Everything here is told in the OpenAPI schema, so that a client knows the limits before it meets them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from deepwide import units
from deepwide.errors import BadInput

LONGEST_NAME = 80
LONGEST_MODEL = 600
MOST_DEVICES = 2**17  # larger than any cluster; keeps the search for a plan short
# A word that no file system takes for a path: no slash, no backslash, no leading dot or tilde.
PLAIN = r"^[A-Za-z0-9][A-Za-z0-9 +_.,=:-]*$"
# A MODEL may be owner/name, as on the Hub; `find_model` looks it up in the catalogue and nowhere else.
MODEL = r"^[A-Za-z0-9][A-Za-z0-9 +_.,=×/-]*$"
OF_FILES = (".toml", ".json", ".gguf", ".safetensors")
OF_SERVER = "this"


def no_file(name: str) -> str:
    """The name, if it cannot mean a file or the machine that serves."""
    word = name.strip().lower()
    if (word and not re.match(PLAIN, name)) or word.endswith(OF_FILES):
        raise BadInput(f"{name!r} is no name; over HTTP only names of the catalogues are read, and no path")
    if word == OF_SERVER:
        raise BadInput("'this' is the machine that serves; name an accelerator of the catalogue")
    return name


def no_path(text: str) -> str:
    """The MODEL, if it has the form of one: a name, perhaps with its owner's before it, and changes."""
    if text and not re.match(MODEL, text):
        raise BadInput(
            f"{text!r} is no MODEL; give a catalogue name or shorthand, or send a config.json: no path is read"
        )
    return text


def _count(value: Any) -> int:
    return units.parse_count(value) if isinstance(value, str) else int(value)


def _real(value: Any) -> float:
    return units.parse_real(value) if isinstance(value, str) else float(value)


def _of(pattern: str, longest: int, **more: Any) -> Any:
    """A text whose form the schema tells, and the validator says in better words."""
    return Field(max_length=longest, json_schema_extra={"pattern": pattern}, **more)


Name = Annotated[str, _of(PLAIN, LONGEST_NAME, min_length=1), AfterValidator(no_file)]
OptionalName = Annotated[str, _of(rf"{PLAIN}|^$", LONGEST_NAME), AfterValidator(no_file)]
OptionalModel = Annotated[str, _of(rf"{MODEL}|^$", LONGEST_MODEL), AfterValidator(no_path)]
ModelName = Annotated[
    str,
    _of(
        MODEL,
        LONGEST_MODEL,
        min_length=1,
        description="A catalogue name, one with changes, shorthand, or the name that POST /api/configs gave.",
        examples=["llama-3-8b", "llama-3-8b,layers=48", "like=llama,layers=32,hidden=4096"],
    ),
    AfterValidator(no_path),
]
Number = Annotated[int, BeforeValidator(_count), Field(description="A count; 7B and 4k may be written so.")]
# The bounds stand before what reads the text: else the schema does not tell them.
Devices = Annotated[int, Field(ge=1, le=MOST_DEVICES, description="Devices.", examples=[8]), BeforeValidator(_count)]
Real = Annotated[float, BeforeValidator(_real)]
# What names mean, with some that are known: a client sees what may be written, and a test has something to ask.
ON = Field(description="An accelerator of the catalogue.", examples=["h100", "rtx-3060-12gb"])
On = Annotated[Name, ON]
OptionalOn = Annotated[OptionalName, ON]
Stored = Annotated[Name, Field(description="What numbers are stored in.", examples=["bf16", "int8"])]
Runtime = Annotated[OptionalName, Field(description="An engine; the accelerator's usual one if empty.", examples=[""])]
Tokens = Annotated[Number, Field(description="Tokens; 1T and 20B may be written so.", examples=[20_000_000_000])]
