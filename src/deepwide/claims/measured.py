"""Figures of the lab's experiments, for claims that training alone decides."""

from __future__ import annotations

from collections.abc import Mapping

from deepwide.facts.experiments import Experiment, experiments


class NotMeasured(Exception):
    """The experiment that a claim rests on has not been run; `experiment` knows the command."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment.name)
        self.experiment = experiment


def measured(name: str) -> Mapping[str, float]:
    """The figures of an experiment; NotMeasured where there are none yet."""
    experiment = experiments()[name]
    if experiment.figures is None:
        raise NotMeasured(experiment)
    return experiment.figures
