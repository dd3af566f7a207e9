"""What every route answers, as the OpenAPI schema shows it: each key with its type, its unit and what it means.

Keys are those of the dataclasses that answer; written out is only what `to_dict()` says in other words than the fields.
"""

from __future__ import annotations

from typing import Any

from deepwide.web.answered import costs, known, shapes

ANSWERS: dict[str, Any] = {
    "/api/count": costs.Count,
    "/api/memory": costs.Memory,
    "/api/formulas": costs.Formulas,
    "/api/predict/inference": costs.Inference,
    "/api/predict/training": costs.Training,
    "/api/predict/loss": costs.Loss,
    "/api/compare": shapes.Comparison,
    "/api/explain": shapes.Explanation,
    "/api/deep-or-wide": shapes.DeepOrWide,
    "/api/design": shapes.Design | shapes.NoDesign,
    "/api/export": known.Export,
    "/api/models": known.Models,
    "/api/accelerators": known.Accelerators,
    "/api/claims": known.Claims,
}
