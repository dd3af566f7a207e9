"""One model over several processes, started by torchrun: cut by rows, by tensors, by layers; on CPUs and on GPUs.

    with started(layout_from_text("fsdp=2")) as team:
        whole = build(architecture, seed=0)
        model = spread(whole, team)
        train(model, recipe, batches=..., report=..., evaluate=lambda: mean_loss(model, batches), save=..., start=...)

Every process runs all of it. The leader (team.leader) alone prints, holds the run's lock and touches its folder.
"""

from deepwide.lab.distributed.layout import Layout, layout_from_text, refuse_unfit
from deepwide.lab.distributed.spreading import Spread, spread
from deepwide.lab.distributed.team import Team, started
from deepwide.lab.distributed.training import mean_loss, train

__all__ = ["Layout", "Spread", "Team", "layout_from_text", "mean_loss", "refuse_unfit", "spread", "started", "train"]
