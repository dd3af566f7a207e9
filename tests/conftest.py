"""How the tests run: generated input is the same every time, and nothing is fetched."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # a test that would fetch a model fails at once

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("nightly", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("ci")
