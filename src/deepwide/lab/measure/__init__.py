"""What this machine does in a second: kernels alone, whole models as users run them, processes that talk.

Nothing here predicts or fits. Times of models are medians of repetitions that take turns, so that a busy moment hits
all alike; rates of kernels are the highest.
"""

from deepwide.lab.measure.clock import Sample, in_turn, woven
from deepwide.lab.measure.kernels import Rates, rates
from deepwide.lab.measure.models import Reading, Stepping
from deepwide.lab.measure.policy import training_kernels
from deepwide.lab.measure.together import Exchange, exchange

__all__ = [
    "Exchange",
    "Rates",
    "Reading",
    "Sample",
    "Stepping",
    "exchange",
    "in_turn",
    "rates",
    "training_kernels",
    "woven",
]
