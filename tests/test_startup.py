"""A single count starts quickly: it imports the standard library and click, and nothing else."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

COUNT = ["count", "llama-2-7b", "--json"]
RUN = "from deepwide.__main__ import main; main()"
RUN_AND_LIST_IMPORTS = """
import sys

before = set(sys.modules)
from deepwide.__main__ import main

try:
    main()
except SystemExit as end:
    if end.code:
        raise
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}), file=sys.stderr)
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)


def cpu_s(*arguments: str) -> float:
    """Processor time of one command, which other programs on the machine disturb least."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(RUN, *arguments).check_returncode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], COUNT], ids=["help", "count"])
def test_help_and_a_count_import_click_and_no_other_package(arguments: list[str]) -> None:
    ended = run(RUN_AND_LIST_IMPORTS, *arguments)
    assert 0 == ended.returncode, ended.stderr
    assert {"click", "deepwide"} == set(ended.stderr.split()) - sys.stdlib_module_names


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], COUNT], ids=["help", "count"])
def test_help_and_a_count_take_less_than_150_ms(arguments: list[str]) -> None:
    assert 0.150 > min(cpu_s(*arguments) for _ in range(5))
