"""`deepwide serve`: loopback unless asked otherwise, and one line where the port is taken."""

from __future__ import annotations

import socket

import pytest

from deepwide.cli.serve import LOOPBACK, bound, command
from deepwide.errors import BadInput


def test_only_this_machine_may_come_unless_asked_otherwise() -> None:
    host = next(option for option in command.params if option.name == "host")
    assert LOOPBACK == host.default


def test_a_port_that_somebody_has_is_refused_in_one_line() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken, pytest.raises(BadInput, match="choose another --port"):
        bound(LOOPBACK, taken.getsockname()[1])


def test_any_free_port_can_be_taken() -> None:
    with bound(LOOPBACK, 0) as place:
        assert place.getsockname()[1]


@pytest.mark.parametrize("host", ["not a host", "300.1.1.1", "x" * 300])
def test_a_host_that_is_none_is_refused_in_one_line(host: str) -> None:
    with pytest.raises(BadInput) as refusal:
        bound(host, 0)
    assert "\n" not in str(refusal.value)
