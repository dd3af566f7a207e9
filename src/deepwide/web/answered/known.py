"""Answers about what is known: the catalogues, the claims, and a model in the words of others."""

from __future__ import annotations

from deepwide.answers import catalogue, export
from deepwide.claims.claim import Text, Verdict
from deepwide.facts.device import Accelerator
from deepwide.web.answered.derived import each, fields, of, several, told

Export = of(export.Export)
Models = told("Models", "Rows of the catalogue of models.", {"models": several(of(catalogue.ListedModel))})
Device = of(Accelerator)
Accelerators = told(
    "Accelerators", "Rows of the catalogue of accelerators.", {"accelerators": several(of(Accelerator))}
)

Words = told("Words", "The same in both languages of the book.", fields(Text))
Claim = told(
    "Claim",
    "A statement, computed anew and judged.",
    {
        **each(("id", "document", "how", "source"), str),
        **each(("statement", "why"), Words),
        "verdict": Verdict,
        "numbers": dict[str, int | float | str],
    },
)
Claims = told("Claims", "The claims book, or a part of it.", {"claims": several(Claim)})
