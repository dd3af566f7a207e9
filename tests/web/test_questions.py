"""Questions that nearly make sense: real models and accelerators, sizes from one to absurd. None breaks anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Check = Callable[[str, bytes | str], None]
MODELS = "gpt2 llama-3-8b mixtral-8x7b bert-base t5-small mamba-2.8b deepseek-v3 gemma-2-9b linear=3x4 gpt-4".split()
SIZES = "layers hidden heads kv_heads head_dim ffn vocab context window experts".split()
WORDS = {
    "on": "h100 rtx-3060-12gb mi300x tpu-v5p apple-m2-max-38c xeon-6980p h100-pcie".split(),
    "weights": "bf16 int4 nf4 q4_k_m fp8 awq nothing".split(),
    "runtime": "vllm llama.cpp huggingface ideal megatron fsdp nothing".split(),
    "plan": ["auto", "tp=8", "tp=8,pp=4", "zero=3", "nothing"],
    "law": "shape chinchilla-2022 gadre-2024-c4 muennighoff-2023 tao-2024 nothing".split(),
}
NUMBERS = "devices tp pp batch context input output tokens sequence global_batch concurrency unique_tokens".split()
ROUTES = {
    "count": {"model", "context"},
    "memory": {"model", "on", "weights", "devices", "context", "batch"},
    "formulas": {"model", "weights", "devices", "context", "batch"},
    "predict/inference": {"model", "on", "weights", "runtime", "tp", "pp", "batch", "input", "output", "concurrency"},
    "predict/training": {"model", "on", "runtime", "plan", "devices", "tokens", "sequence", "global_batch"},
    "predict/loss": {"model", "law", "tokens", "unique_tokens"},
    "explain": {"model", "on", "tokens", "context", "devices", "tp"},
    "deep-or-wide": {"model", "on", "tokens", "context", "devices"},
}
numbers = st.one_of(
    st.integers(1, 64), st.integers(0, 20).map(lambda n: 2**n), st.integers(-1, 30).map(lambda n: 10**n)
)
changed = st.dictionaries(st.sampled_from(SIZES), numbers, max_size=3)
models = st.builds(
    lambda base, sizes: ",".join([base, *(f"{name}={size}" for name, size in sizes.items())]),
    st.sampled_from([*MODELS, "like=llama", "like=gpt2", "like=mixtral"]),
    changed,
)


@st.composite
def questions(draw: Any) -> tuple[str, dict[str, Any]]:
    route = draw(st.sampled_from(sorted(ROUTES)))
    values: dict[str, Any] = {}
    for name in sorted(ROUTES[route]):
        if name == "model":
            values[name] = draw(models)
        elif name in ("on", "devices", "tokens") or draw(st.booleans()):
            values[name] = draw(st.sampled_from(WORDS[name]) if name in WORDS else numbers)
    return route, values


@pytest.mark.fuzz
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions())
def test_every_question_has_an_answer_or_one_line(
    client: TestClient, check: Check, question: tuple[str, dict[str, Any]]
) -> None:
    route, values = question
    answer = client.get(f"/api/{route}", params=values)
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        check(route, answer.content)
    else:
        assert ["error"] == list(answer.json())
