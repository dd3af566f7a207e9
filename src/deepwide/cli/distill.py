"""`deepwide distill`: a student of any shape learns from a text, and from a teacher that was trained before."""

from __future__ import annotations

from typing import Any

import click

from deepwide.answers.distill import distill
from deepwide.cli.options import ModelName
from deepwide.cli.training import carry_out, needed, training_options


@click.command("distill")
@click.argument("teacher", required=False)
@click.argument("model", type=ModelName(), default="", metavar="[MODEL]")
@training_options(
    click.option("--temperature", type=float, default=1.0, show_default=True, help="At which scores are compared."),
    click.option("--weight", type=float, default=0.9, show_default=True, help="Of the teacher; the text has the rest."),
    click.option(
        "--hidden", type=float, default=0.0, show_default=True, help="Of how alike the vectors before the head are."
    ),
)
@click.pass_context
def command(
    ctx: click.Context, /, teacher: str | None, as_json: bool, resumed: str, root: str | None, **question: Any
) -> None:
    """Trains MODEL, a shape or a run, on text and on what TEACHER, a run or a folder, makes of it.

    \b
    deepwide distill lively-otter like=llama,layers=2,hidden=64,heads=4
    deepwide distill lively-otter like=llama,layers=2,hidden=64,heads=4 --temperature 2 --weight 0.5 --hidden 1
    """
    needed(resumed, TEACHER=teacher)
    question["teacher"] = teacher
    carry_out(ctx, distill, resumed=resumed, as_json=as_json, root=root, question=question)
