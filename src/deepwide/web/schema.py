"""/openapi.json: what FastAPI says of the questions, and beside each what is answered, typed key by key."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from deepwide.web.routes import JSON

WHERE = "#/components/schemas/{model}"


def openapi(app: FastAPI) -> dict[str, Any]:
    """The schema. The models of the answers are made when it is first asked for: the server starts without them."""
    if app.openapi_schema is None:
        from deepwide.web.answered import ANSWERS

        schema = FastAPI.openapi(app)
        sent: JsonSchemaMode = "serialization"
        adapters = [(route, sent, TypeAdapter(model)) for route, model in ANSWERS.items()]
        answers, definitions = TypeAdapter.json_schemas(adapters, ref_template=WHERE)
        for (route, _), answer in answers.items():
            schema["paths"][route]["get"]["responses"]["200"]["content"][JSON]["schema"] = answer
        schema["components"]["schemas"] |= definitions["$defs"]
    return FastAPI.openapi(app)
