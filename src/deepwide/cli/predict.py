"""`deepwide predict`: the group of predictions, each imported when it is asked for."""

from __future__ import annotations

import click

from deepwide.cli.main import Commands

# Name -> what the group's help says of it; the module of each is `predict_` and its name.
PREDICTIONS = {
    "inference": "Time to the first token and of each further one, and what it is spent on.",
    "training": "Time of a step, the plan that is fastest, days, money, energy and carbon of a run.",
}


class Predictions(Commands):
    """The predictions, listed without being imported."""

    table = PREDICTIONS
    modules = "deepwide.cli.predict_"


@click.group(cls=Predictions)
def command() -> None:
    """How long it takes: predictions, each with the range that nine of ten measurements lie in."""
