"""Training: a recipe, an optimiser, a loop, and checkpoints that a kill cannot spoil."""

from deepwide.lab.training.checkpoint import Checkpoint, Found, newest, write
from deepwide.lab.training.loop import Outcome, Row, train
from deepwide.lab.training.objective import Batch, batch_of, mean_loss, next_token
from deepwide.lab.training.recipe import Recipe, recipe_from_dict
from deepwide.lab.training.worker import Alone, Learner

__all__ = [
    "Alone",
    "Batch",
    "Checkpoint",
    "Found",
    "Learner",
    "Outcome",
    "Recipe",
    "Row",
    "batch_of",
    "mean_loss",
    "newest",
    "next_token",
    "recipe_from_dict",
    "train",
    "write",
]
