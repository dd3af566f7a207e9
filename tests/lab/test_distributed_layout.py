"""Layouts: how they are written, and what they ask of processes, models and batches."""

from __future__ import annotations

import pytest

from deepwide.answers.models import find_model
from deepwide.errors import BadInput
from deepwide.lab.distributed import Layout, layout_from_text, refuse_unfit, started

SIZES = "layers=2,hidden=24,heads=6,kv_heads=3,ffn=24,vocab=31,context=16"


@pytest.mark.parametrize("text", ["dp=4", "fsdp=2,tp=4", "pp=3,dp=2,fsdp=2,tp=2"])
def test_a_layout_is_written_as_it_is_read(text: str) -> None:
    assert str(layout_from_text(text)) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fdsp=2", "did you mean fsdp"),
        ("", "known: pp=N, dp=N, fsdp=N, tp=N"),
        ("tp", "whole number from 1"),
        ("tp=0", "whole number from 1"),
        ("tp=-2", "whole number from 1"),
        ("tp=2.5", "whole number from 1"),
        ("tp=²", "whole number from 1"),
        ("tp=99999999999999", "whole number from 1"),
        ("tp=2,tp=2", "names tp twice"),
    ],
)
def test_what_is_no_layout_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as refused:
        layout_from_text(text)
    assert "\n" not in str(refused.value)


def test_a_layout_of_several_processes_is_refused_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(BadInput, match=r"torchrun --nproc_per_node=4 -m deepwide"), started(Layout(tp=4)):
        pass


def test_a_layout_of_other_than_the_started_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(BadInput, match="makes 4 processes and 8 were started"), started(Layout(tp=4)):
        pass


def test_one_process_is_a_team_and_leads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with started(device="cpu") as team, team.leader_first():
        assert (team.leader, team.data_rank, team.layout.processes, team.shared("name")) == (True, 0, 1, "name")


@pytest.mark.parametrize(
    ("model", "layout", "batch", "accumulate", "told"),
    [
        ("like=llama", Layout(dp=3), 8, 1, "batch=8 must be a multiple of dp x fsdp = 3"),
        ("like=llama", Layout(dp=2), 8, 8, "times accumulate=8"),
        ("like=llama", Layout(tp=4), 8, 1, "tp=4 must divide heads=6"),
        ("like=llama", Layout(tp=2), 8, 1, "tp=2 must divide kv_heads=3"),
        ("like=llama", Layout(pp=3), 8, 1, "layers=2; lower pp"),
        ("like=llama", Layout(pp=2), 1, 1, "give batch=2 or more"),
        ("like=t5", Layout(pp=2), 8, 1, "an encoder and a decoder; use fsdp instead"),
        ("like=albert", Layout(pp=2), 8, 1, "share their weights; use fsdp instead"),
        ("like=mixtral,experts=4,active_experts=2", Layout(tp=3), 8, 1, "mixture of experts; use fsdp instead"),
        ("like=olmo2", Layout(tp=3), 8, 1, "norm over all heads together"),
    ],
)
def test_what_cannot_be_cut_so_is_refused_in_one_line(
    model: str, layout: Layout, batch: int, accumulate: int, told: str
) -> None:
    architecture = find_model(f"{model},{SIZES}").described()
    with pytest.raises(BadInput, match=told) as refused:
        refuse_unfit(layout, architecture, batch=batch, accumulate=accumulate)
    assert "\n" not in str(refused.value)
