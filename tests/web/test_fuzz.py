"""The API is fed what its own schema allows and what it forbids: an answer or one line comes back, never a failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("schemathesis", reason="needs schemathesis")

CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,negative_data_rejection"


SEARCH = "/api/design"
SHORT_S = 4.0  # of a search: what is asked at random often has millions of shapes


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.parametrize(("of", "examples"), [(f"--exclude-path={SEARCH}", 60), (f"--include-path={SEARCH}", 25)])
def test_nothing_that_is_asked_makes_the_server_fail(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str, examples: int
) -> None:
    monkeypatch.setattr("deepwide.web.search.LIMIT_S", SHORT_S)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"),
            *("--checks", CHECKS, "--max-examples", str(examples), "--seed", "1", of),
            *("--request-timeout", "60"),  # of a machine that does other things too
        ],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        cwd=tmp_path,  # it leaves a folder behind
    )
    assert 0 == ran.returncode, ran.stdout[-6000:]
