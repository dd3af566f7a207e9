"""The `deepwide` program. Start-up makes many objects and no garbage: collection is off until a command is loaded.

That saves a sixth of the time to a first answer; `cli.main` turns collection on again.
"""

import gc

gc.disable()

from deepwide.cli.main import main  # noqa: E402  the line above has to run first

if __name__ == "__main__":
    main()
