"""The forms of loss laws that can be fitted to runs: their constants, what is known of them, and the formula.

N is a parameter count over 1e8, D the tokens over 1e11, d the hidden size, l the layers, R = d / l. Every formula is
built of + * exp and log alone, so that a complex step through it gives its exact derivative (Squire and Trapp 1998,
SIAM Review 40:110). A law is one form, or several whose mean is the prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from deepwide.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepwide.quality.runs import Runs
    from deepwide.quality.trained import Trained

    Values: TypeAlias = Mapping[str, Any]
    Sized: TypeAlias = Runs | Trained

SIZE_UNIT, TOKENS_UNIT = 1e8, 1e11


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A constant before any run was seen: normal around `center`, in its logarithm where it is positive.

    between   the deviation of the same constant from one recipe to another
    level     it says how high losses are, not how they fall: what three runs of another corpus refit
    """

    name: str
    center: float
    spread: float
    between: float
    positive: bool = True
    level: bool = False

    def value(self, place: Any) -> Any:
        """The constant at a place on the scale of its prior."""
        import numpy as np

        return np.exp(place) if self.positive else place

    @property
    def place(self) -> float:
        """Where the center lies on that scale."""
        import math

        return math.log(self.center) if self.positive else self.center


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A formula of the loss with its constants; `counts` says what N is: body, body and head, or total."""

    name: str
    counts: str
    constants: tuple[Constant, ...]
    formula: Callable[[Values, Sized, NDArray[Any]], NDArray[Any]]

    def loss(self, values: Values, runs: Sized) -> NDArray[Any]:
        """The loss of each run under these constants; one value each, or one per run."""
        return self.formula(values, runs, parameters(self.counts, runs) / SIZE_UNIT)


def parameters(counts: str, runs: Sized) -> Any:
    """The parameters that a form counts."""
    return {"body": runs.body, "body and head": runs.body + runs.head, "total": runs.total}[counts]


def _power(scale: Any, power: Any, x: Any) -> Any:
    """scale * x^-power, written with exp and log."""
    import numpy as np

    return scale * np.exp(-power * np.log(x))


def _coupled(capacity: Any, data: Any, coupling: Any) -> Any:
    """(capacity^(1/k) + data^(1/k))^k."""
    import numpy as np

    return np.exp(coupling * np.log(np.exp(np.log(capacity) / coupling) + np.exp(np.log(data) / coupling)))


def _additive_loss(v: Values, runs: Sized, N: NDArray[Any]) -> NDArray[Any]:
    """E + A N^-a + B D^-b."""
    capacity = _power(v["capacity"], v["capacity_power"], N)
    loss: NDArray[Any] = v["floor"] + capacity + _power(v["data"], v["data_power"], runs.tokens / TOKENS_UNIT)
    return loss


def _coupled_loss(v: Values, runs: Sized, N: NDArray[Any]) -> NDArray[Any]:
    """E + [(A N^-a)^(1/k) + (B D^-b)^(1/k)]^k."""
    capacity = _power(v["capacity"], v["capacity_power"], N)
    data = _power(v["data"], v["data_power"], runs.tokens / TOKENS_UNIT)
    loss: NDArray[Any] = v["floor"] + _coupled(capacity, data, v["coupling"])
    return loss


def _width_and_depth_loss(v: Values, runs: Sized, N: NDArray[Any]) -> NDArray[Any]:
    """E + A (d/1024)^-a + F (l/16)^-f + C N^-c + B D^-b."""
    width = _power(v["width"], v["width_power"], runs.hidden / 1024)
    depth = _power(v["depth"], v["depth_power"], runs.layers / 16)
    loss: NDArray[Any] = width + depth + _additive_loss(v, runs, N)
    return loss


def _inverse_depth_loss(v: Values, runs: Sized, N: NDArray[Any]) -> NDArray[Any]:
    """E + A (d/1024)^-a + F (l/16)^-f + B D^-b."""
    width = _power(v["width"], v["width_power"], runs.hidden / 1024)
    depth = _power(v["depth"], v["depth_power"], runs.layers / 16)
    data = _power(v["data"], v["data_power"], runs.tokens / TOKENS_UNIT)
    loss: NDArray[Any] = v["floor"] + width + depth + data
    return loss


def _aspect_loss(v: Values, runs: Sized, N: NDArray[Any]) -> NDArray[Any]:
    """(E + A N^-a + B D^-b) (1 + g R^r)."""
    import numpy as np

    factor = 1 + v["aspect"] * np.exp(v["aspect_power"] * np.log(runs.hidden / runs.layers))
    loss: NDArray[Any] = _additive_loss(v, runs, N) * factor
    return loss


def _shape_loss(v: Values, runs: Sized, N: NDArray[Any]) -> NDArray[Any]:
    """E + [(A N^-a e^(c u^2))^(1/k) + (B D^-b e^(g u^2))^(1/k)]^k,   u = ln(d/l) - ln R - r ln N."""
    import numpy as np

    u = np.log(runs.hidden / runs.layers) - np.log(v["best_aspect"]) - v["aspect_drift"] * np.log(N)
    capacity = _power(v["capacity"], v["capacity_power"], N) * np.exp(v["curvature"] * u * u)
    data = _power(v["data"], v["data_power"], runs.tokens / TOKENS_UNIT) * np.exp(v["data_curvature"] * u * u)
    loss: NDArray[Any] = v["floor"] + _coupled(capacity, data, v["coupling"])
    return loss


# Wide where nothing is known; spreads and centers of exponents, coupling and shape are those that small runs of
# several published sets agree on.
FLOOR = Constant(name="floor", center=1.5, spread=2.0, between=1.0, level=True)
CAPACITY = Constant(name="capacity", center=1.5, spread=5.0, between=2.0, level=True)
DATA = Constant(name="data", center=0.7, spread=5.0, between=2.0, level=True)
CAPACITY_POWER = Constant(name="capacity_power", center=0.25, spread=0.3, between=0.1)
DATA_POWER = Constant(name="data_power", center=0.3, spread=0.3, between=0.1)
COUPLING = Constant(name="coupling", center=0.45, spread=0.4, between=0.1)
ADDITIVE = (FLOOR, CAPACITY, replace(CAPACITY_POWER, spread=1.0), DATA, replace(DATA_POWER, spread=1.0))
WIDTH = (
    Constant(name="width", center=0.3, spread=5.0, between=2.0, level=True),
    Constant(name="width_power", center=0.5, spread=1.0, between=0.1),
    Constant(name="depth", center=0.1, spread=5.0, between=2.0, level=True),
    Constant(name="depth_power", center=0.6, spread=1.0, between=0.1),
)
ASPECT = (
    Constant(name="aspect", center=0.001, spread=3.0, between=0.5),
    Constant(name="aspect_power", center=0.5, spread=0.5, between=0.1, positive=False),
)
SHAPE_HEAD = (
    FLOOR,
    CAPACITY,
    CAPACITY_POWER,
    DATA,
    DATA_POWER,
    COUPLING,
    Constant(name="curvature", center=0.014, spread=0.5, between=0.3),
    Constant(name="data_curvature", center=0.01, spread=0.01, between=0.003, positive=False),
    Constant(name="best_aspect", center=24.5, spread=0.5, between=0.3),
    Constant(name="aspect_drift", center=0.15, spread=0.15, between=0.05, positive=False),
)
SHAPE_BODY = (
    FLOOR,
    CAPACITY,
    replace(CAPACITY_POWER, center=0.17, spread=0.4),
    DATA,
    replace(DATA_POWER, center=0.27),
    replace(COUPLING, center=0.4),
    replace(SHAPE_HEAD[6], center=0.008),
    SHAPE_HEAD[7],
    replace(SHAPE_HEAD[8], center=44.7),
    replace(SHAPE_HEAD[9], center=-0.15),
)
# The name of a law -> its members. Gemstones' law of two terms is the Chinchilla form.
LAWS: dict[str, tuple[Form, ...]] = {
    "chinchilla": (Form(name="chinchilla", counts="total", constants=ADDITIVE, formula=_additive_loss),),
    "chinchilla-body": (Form(name="chinchilla-body", counts="body", constants=ADDITIVE, formula=_additive_loss),),
    "coupled": (Form(name="coupled", counts="body", constants=(*ADDITIVE, COUPLING), formula=_coupled_loss),),
    "gemstones": (
        Form(name="gemstones", counts="total", constants=(*ADDITIVE, *WIDTH), formula=_width_and_depth_loss),
    ),
    "inverse-depth": (
        Form(
            name="inverse-depth",
            counts="body",
            constants=(FLOOR, *WIDTH, *ADDITIVE[3:]),
            formula=_inverse_depth_loss,
        ),
    ),
    "aspect-ratio": (Form(name="aspect-ratio", counts="total", constants=(*ADDITIVE, *ASPECT), formula=_aspect_loss),),
    "shape": (
        Form(name="shape, body and head", counts="body and head", constants=SHAPE_HEAD, formula=_shape_loss),
        Form(name="shape, body", counts="body", constants=SHAPE_BODY, formula=_shape_loss),
    ),
}


def forms(law: str) -> tuple[Form, ...]:
    """The members of a law by its name; BadInput names the nearest."""
    if law not in LAWS:
        raise BadInput(f"law={law!r} cannot be fitted{did_you_mean(law, LAWS)}; known are {', '.join(LAWS)}")
    return LAWS[law]
