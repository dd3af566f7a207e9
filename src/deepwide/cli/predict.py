"""`deepwide predict`: the group of predictions, each imported when it is asked for."""

from __future__ import annotations

import click

from deepwide.cli.main import Commands

# Name -> what the group's help says of it; the module of each is `predict_` and its name.
PREDICTIONS = {
    "inference": "Time to the first token and of each further one, and what it is spent on.",
    "training": "Time of a step, the plan that is fastest, days, money, energy and carbon of a run.",
    "loss": "Loss after so many tokens, with its interval; what more tokens, parameters or another shape would buy.",
}


class Predictions(Commands):
    """The predictions, listed without being imported."""

    table = PREDICTIONS
    modules = "deepwide.cli.predict_"


@click.group(cls=Predictions)
def command() -> None:
    """How long it takes and how good it will be: predictions, each with its range."""
