"""Collectives: alpha plus bytes over beta, near and far."""

from __future__ import annotations

import numpy as np
import pytest

from deepwide.cost.collectives import (
    Network,
    Wire,
    all_gather_s,
    all_reduce_s,
    dispatch_s,
    group,
    reduce_scatter_s,
    send_s,
)

NETWORK = Network(near=Wire(bytes_per_s=300e9, hop_s=0.0), far=Wire(bytes_per_s=25e9, hop_s=0.0), node_devices=8)
SLOW_START = Network(near=Wire(bytes_per_s=300e9, hop_s=5e-6), far=Wire(bytes_per_s=25e9, hop_s=10e-6), node_devices=8)


def test_a_ring_all_reduce_moves_twice_the_message_less_its_own_share() -> None:
    assert all_reduce_s(8e9, group(NETWORK, 8)) == pytest.approx(2 * 7 / 8 * 8e9 / 300e9)


def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather() -> None:
    among = group(SLOW_START, 16)
    assert all_reduce_s(1e9, among) == reduce_scatter_s(1e9, among) + all_gather_s(1e9, among)


def test_one_device_has_nothing_to_say() -> None:
    alone = group(SLOW_START, 1)
    assert all_reduce_s(1e9, alone) == all_gather_s(1e9, alone) == 0


def test_members_of_a_node_share_the_way_out() -> None:
    outside = all_gather_s(8e9, group(NETWORK, 16)) - all_gather_s(8e9, group(NETWORK, 8))
    assert outside == pytest.approx(1 / 2 * 8e9 / 8 / 25e9)


def test_a_group_outside_tensor_parallelism_has_fewer_members_in_a_node() -> None:
    assert group(NETWORK, 4, stride=8).near == 1
    assert group(NETWORK, 4, stride=2).near == 4
    assert group(NETWORK, 64, stride=2).nodes == 16


def test_a_neighbour_in_the_node_is_reached_over_the_near_wire() -> None:
    assert send_s(3e9, NETWORK, 4) == pytest.approx(3e9 / 300e9)
    assert send_s(3e9, NETWORK, 8) == pytest.approx(3e9 / 25e9)


def test_a_whole_domain_of_72_needs_no_far_wire() -> None:
    wide = Network(near=NETWORK.near, far=NETWORK.far, node_devices=72)
    assert all_gather_s(1e9, group(wide, 64)) == pytest.approx(63 / 64 * 1e9 / 300e9)


def test_many_groups_at_once_are_each_alone() -> None:
    sizes = np.array([1, 2, 4, 8, 16, 64, 512])
    at_once = all_reduce_s(1e9, group(SLOW_START, sizes))
    assert list(at_once) == [all_reduce_s(1e9, group(SLOW_START, int(size))) for size in sizes]


def test_a_collective_never_gets_shorter_with_more_members() -> None:
    times = all_reduce_s(1e9, group(SLOW_START, np.array([1, 2, 4, 8, 16, 32, 64])))
    assert (np.diff(times) > 0).all()


def test_a_token_travels_once_to_each_node_however_many_of_its_experts_are_there() -> None:
    """Over two nodes, of many experts some are almost surely in the other one, and it is crossed to once."""
    far_only = Network(near=Wire(bytes_per_s=1e30, hop_s=0.0), far=NETWORK.far, node_devices=8)
    one, many = (dispatch_s(25e9, copies, group(far_only, 16)) for copies in (1, 32))
    assert one == pytest.approx(1 / 2)
    assert many == pytest.approx(1.0)


def test_within_a_node_a_token_travels_to_every_expert() -> None:
    assert dispatch_s(3e9, 8, group(NETWORK, 8)) == pytest.approx(7 / 8 * 8 * 3e9 / 300e9)
