"""What was run: a folder per run that holds the truth, and an index over the folders that can always be made again.

Needs no PyTorch, so that looking at runs starts at once and works where none can be made.
"""

from deepwide.lab.store.environment import environment
from deepwide.lab.store.folder import Run, create, open_run
from deepwide.lab.store.index import summaries
from deepwide.lab.store.made import free_name, keep_whole
from deepwide.lab.store.names import default_name, root_folder, run_names
from deepwide.lab.store.summary import RunSummary

__all__ = [
    "Run",
    "RunSummary",
    "create",
    "default_name",
    "environment",
    "free_name",
    "keep_whole",
    "open_run",
    "root_folder",
    "run_names",
    "summaries",
]
