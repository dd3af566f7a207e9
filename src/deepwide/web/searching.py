"""The process of one search: a question on its input, the answer or one line on its output."""

from __future__ import annotations

import json
import sys
from typing import Any

from deepwide.answers.design import NoDesign, design
from deepwide.answers.shelf import only_from
from deepwide.errors import BadInput


def found(task: dict[str, Any]) -> dict[str, Any]:
    """The answer to a task; an error in words."""
    try:
        with only_from(task["configs"]):
            return {"answer": design(**_fixed(task["question"])).to_dict()}
    except NoDesign as none:
        return {"answer": none.to_dict()}
    except BadInput as error:
        return {"error": str(error)}


def _fixed(question: dict[str, Any]) -> dict[str, Any]:
    """The question with its lists as tuples: what is searched is told apart by them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in question.items()}


if __name__ == "__main__":
    json.dump(found(json.load(sys.stdin)), sys.stdout, allow_nan=False)
