"""The HTTP API: one GET route for each public question, and the same answer as everywhere else.

An answer is the object that `--json` prints. What cannot be answered is status 422 and `{"error": one line}`.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from deepwide.answers.catalogue import listed_accelerators, models
from deepwide.answers.compare import compare
from deepwide.answers.count import count
from deepwide.answers.deep_or_wide import deep_or_wide
from deepwide.answers.explain import explain
from deepwide.answers.export import export
from deepwide.answers.formulas import formula_rows, formulas
from deepwide.answers.inference import predict_inference
from deepwide.answers.limits import whole
from deepwide.answers.loss import predict_loss
from deepwide.answers.memory import memory
from deepwide.answers.models import find_model
from deepwide.answers.training import predict_training
from deepwide.architecture.sizes import int_or_none, sizes
from deepwide.claims.book import claims
from deepwide.web import asked
from deepwide.web.desk import Answering, Desk
from deepwide.web.files import FOLDER

JSON = "application/json"
NO_RUNS = FOLDER  # runs of the lab are their owner's; in this folder there are none


class Refusal(BaseModel):
    """Why there is no answer, in one line that names the field, the value and the way out."""

    error: str


REFUSED: dict[int | str, dict[str, Any]] = {422: {"model": Refusal, "description": "The question makes no sense."}}
api = APIRouter(prefix="/api", responses=REFUSED, tags=["questions"])


async def told(request: Request, question: asked.Asked, answering: Answering, *named: str) -> Response:
    """The answer to a question, worked out off the event loop or remembered."""
    desk: Desk = request.app.state.desk
    return Response(await desk.answer(question, answering, *named), media_type=JSON)


@api.get("/count", summary="How many parameters, and where?")
async def of_count(request: Request, question: Annotated[asked.Count, Query()]) -> Response:
    """Parameters by part, FLOPs of a token, every row; `sizes` are layers, hidden, heads and the rest."""
    return await told(request, question, partial(_counted, **question.given()), question.model)


def _counted(model: str, **how: Any) -> dict[str, Any]:
    found = find_model(model)
    of = found.described()
    own = {name: int_or_none(size) for name, size in sizes(of)._asdict().items()}
    tied = any(row.tied for row in found.ledger.weights if row.part == "head")
    known = {"family": of.family, "sizes": own, "tied": tied, "writes": bool(of.main.causal)}
    return {**count(found, **how).to_dict(), **known}


@api.get("/memory", summary="Does it fit?")
async def of_memory(request: Request, question: Annotated[asked.Memory, Query()]) -> Response:
    """Bytes by part on each device, the longest context and the largest batch that fit, and what would make it fit."""
    return await told(request, question, lambda: memory(**question.given()).to_dict(), question.model)


@api.get("/formulas", summary="By which formula, with the numbers in it?")
async def of_formulas(request: Request, question: Annotated[asked.Formulas, Query()]) -> Response:
    """The bytes of weights and cache and the FLOPs of a token, each in symbols and in numbers."""
    return await told(request, question, lambda: formula_rows(formulas(**question.given())), question.model)


@api.get("/predict/inference", summary="How fast does it answer?")
async def of_inference(request: Request, question: Annotated[asked.Inference, Query()]) -> Response:
    """Seconds of a prompt and of each token with their range, and what they are spent on."""
    return await told(request, question, lambda: predict_inference(**question.given()).to_dict(), question.model)


@api.get("/predict/training", summary="What does training take?")
async def of_training(request: Request, question: Annotated[asked.Training, Query()]) -> Response:
    """The step under the best plan, days, money, energy and carbon."""
    return await told(request, question, lambda: predict_training(**question.given()).to_dict(), question.model)


@api.get("/predict/loss", summary="How good will it be?")
async def of_loss(request: Request, question: Annotated[asked.Loss, Query()]) -> Response:
    """The loss with its interval, its law, and the reasons to doubt it."""
    return await told(request, question, lambda: predict_loss(**question.given()).to_dict(), question.model)


@api.get("/compare", summary="Shapes side by side")
async def of_compare(request: Request, question: Annotated[asked.Compare, Query()]) -> Response:
    """Two shapes or more, and a verdict on each criterion; a difference within its uncertainty is a tie."""
    rest = {name: value for name, value in question.given().items() if name != "models"}
    return await told(request, question, lambda: _compared(question.named, rest), *question.named)


def _compared(named: list[str], rest: dict[str, Any]) -> dict[str, Any]:
    whole("the number of models", len(named), 2, asked.MOST_COMPARED)
    return compare(named, **rest).to_dict()


@api.get("/explain", summary="Why is hidden so large?")
async def of_explain(request: Request, question: Annotated[asked.Explain, Query()]) -> Response:
    """What the shape buys and costs, beside other shapes with the same parameters."""
    return await told(request, question, lambda: explain(**question.given()).to_dict(), question.model)


@api.get("/deep-or-wide", summary="At this size, deep against wide")
async def of_deep_or_wide(request: Request, question: Annotated[asked.DeepOrWide, Query()]) -> Response:
    """Shapes of equal parameters from wide to deep: loss, times, sums; the present one and the best."""
    return await told(request, question, lambda: deep_or_wide(**question.given()).to_dict(), question.model)


@api.get("/export", summary="The shape in the words of an engine")
async def of_export(request: Request, question: Annotated[asked.Export, Query()]) -> Response:
    """The config of a MODEL for huggingface, megatron, torchtitan, litgpt or nanotron, as `text`."""
    answering = partial(_exported, question.model, question.to)
    return await told(request, question, answering, question.model)


def _exported(model: str, to: str) -> dict[str, Any]:
    return export(model, to=to, root=NO_RUNS).to_dict()


@api.get("/models", summary="The catalogue of published models")
async def of_models(request: Request, question: Annotated[asked.Search, Query()]) -> Response:
    """Every model whose id, maker or family holds the text, each with its source."""
    return await told(request, question, lambda: {"models": [m.to_dict() for m in models(question.search)]})


@api.get("/accelerators", summary="The catalogue of accelerators")
async def of_accelerators(request: Request, question: Annotated[asked.Accelerators, Query()]) -> Response:
    """Every accelerator whose id, vendor or architecture holds the text; rates are dense."""
    return await told(request, question, lambda: {"accelerators": _accelerators(question.search)})


def _accelerators(search: str) -> list[dict[str, Any]]:
    rows = (asdict(device) for device in listed_accelerators(search))
    return [{**row, "checked": None if row["checked"] is None else str(row["checked"])} for row in rows]


@api.get("/claims", summary="Is what people say of shapes true?")
async def of_claims(request: Request, question: Annotated[asked.Claims, Query()]) -> Response:
    """The claims book: each statement computed anew and judged."""
    answering = partial(_claims, question.document, question.verdict)
    return await told(request, question, answering)


def _claims(document: str, verdict: str) -> dict[str, Any]:
    return {"claims": [entry.to_dict() for entry in claims(document, verdict)]}
