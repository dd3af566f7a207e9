"""What this machine does in a second: kernels alone, whole models as users run them, processes that talk.

Nothing here predicts or fits. Times are means of repetitions that take turns, so that a busy moment hits all alike.
"""

from deepwide.lab.measure.clock import Sample, in_turn, woven
from deepwide.lab.measure.kernels import Bench, Rates
from deepwide.lab.measure.models import WRITTEN, Reading, Stepping
from deepwide.lab.measure.policy import training_kernels
from deepwide.lab.measure.together import Exchange, exchange

__all__ = [
    "WRITTEN",
    "Bench",
    "Exchange",
    "Rates",
    "Reading",
    "Sample",
    "Stepping",
    "exchange",
    "in_turn",
    "training_kernels",
    "woven",
]
