"""Where a search runs: any number of threads, a cluster, and a cluster that loses a worker, all with one result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepwide.cost.inference.engine import driven
from deepwide.design import engines
from deepwide.design import space as space_module
from deepwide.design.engines import searched
from deepwide.design.pricing import Limit, Purpose, Serving
from deepwide.design.search import Tally, tally
from deepwide.design.space import Space
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator

SPACE = Space(layers=(2, 20), hidden=(256, 2048), ffn_ratios=(2.5, 3.0, 3.5, 4.0), vocabs=(32_000,))
PURPOSE = Purpose(
    space=SPACE,
    serving=Serving(engine=driven(accelerator("h100"))),
    limits=(Limit("parameters", 3e8), Limit("decode_s", 2e-3)),
    tokens=1e10,
)


def told(found: Tally) -> dict[str, Any]:
    """All that a search has found, as values that compare."""
    fronts = {cost: {n: list(c) for n, c in front.rows.items()} for cost, front in found.fronts.items()}
    best = {name: list(column) for name, column in found.best.items()}
    return {"counted": found.counted, "feasible": found.feasible, "best": best, "fronts": fronts}


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return told(tally(PURPOSE))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_threads_finds_the_same(whole: dict[str, Any], workers: int) -> None:
    assert whole == told(searched(PURPOSE, "local", workers))


def test_progress_is_told_up_to_the_last_shape(whole: dict[str, Any]) -> None:
    said: list[int] = []
    searched(PURPOSE, "local", 2, said.append)
    assert sorted(said) == said
    assert whole["counted"] == said[-1]


def test_an_interrupt_ends_a_search_before_its_space_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space_module, "BLOCK", 64)  # many blocks, so that there is something left to skip
    said: list[int] = []

    def interrupting(counted: int) -> None:
        said.append(counted)
        if len(said) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(PURPOSE, "local", 2, interrupting)
    assert said[-1] < tally(PURPOSE).counted


def test_an_engine_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="engine='rya' is unknown; did you mean ray"):
        searched(PURPOSE, "rya")


def test_without_ray_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(BadInput, match="pip install 'deepwide\\[ray\\]'"):
        searched(PURPOSE, "ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on two cores of this machine."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("cluster")
def test_a_cluster_finds_the_same(whole: dict[str, Any]) -> None:
    said: list[int] = []
    assert whole == told(searched(PURPOSE, "ray", progress=said.append))
    assert (whole["counted"], True) == (said[-1], sorted(said) == said)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("cluster")
def test_a_worker_that_dies_costs_its_shard_alone_and_the_result_is_the_same(
    whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = str(tmp_path)

    def mortal(purpose: Purpose, shard: int, shards: int) -> Tally:  # a worker gets it by value, with `runs`
        import os
        import tempfile
        from pathlib import Path

        from deepwide.design.search import tally

        os.close(tempfile.mkstemp(dir=runs, prefix=f"shard-{shard}-")[0])
        if shard == 2 and len(list(Path(runs).glob("shard-2-*"))) == 1:
            os._exit(1)
        return tally(purpose, shard, shards)

    monkeypatch.setattr(engines, "tally", mortal)
    assert whole == told(searched(PURPOSE, "ray"))
    ran = [path.name.split("-")[1] for path in tmp_path.iterdir()]
    assert 2 == ran.count("2")
    assert {1} == {ran.count(shard) for shard in set(ran) - {"2"}}


def test_shards_of_a_space_leave_nothing_out_and_look_at_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space_module, "BLOCK", 500)
    counted = [tally(PURPOSE, shard, 3).counted for shard in range(3)]
    assert all(counted)
    assert tally(PURPOSE).counted == sum(counted)
