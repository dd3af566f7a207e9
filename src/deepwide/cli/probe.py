"""`deepwide probe`: looks inside a model; each probe is imported when it is asked for."""

from __future__ import annotations

import click

from deepwide.cli.main import Commands

# Name -> what the group's help says of it; the module of each is `probe_` and its name.
PROBES = {
    "gradients": "Gradient norm by layer, with and without residual connections and norms.",
    "rank": "How alike tokens become by layer: attention alone, with networks, with skips.",
    "attention": "Where every head looks, with separate and with shared Q, K, V.",
    "memories": "Networks as memories: what triggers a key, what its value makes the model say.",
    "ntk": "The tangent kernel over widths: how far training moves it.",
}


class Probes(Commands):
    """The probes, listed without being imported."""

    table = PROBES
    modules = "deepwide.cli.probe_"


@click.group(cls=Probes)
def command() -> None:
    """Looks inside a model: numbers by layer, a picture, and one sentence that says what it shows."""
