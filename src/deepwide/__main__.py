"""The `deepwide` program. Start-up makes many objects and no garbage: collection is off until a command is loaded.

That saves a sixth of the time to a first answer; `cli.main` turns collection on again.
"""

import gc

gc.disable()

try:
    from deepwide.cli.main import main
except KeyboardInterrupt:  # stopped before anything could say so
    raise SystemExit(130) from None

if __name__ == "__main__":
    main()
