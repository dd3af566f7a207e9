"""How long devices take to talk to each other: alpha + bytes / beta, over a near wire inside a node and a far one.

A collective over several nodes runs in two stages, as communication libraries do it: within each node over the near
wire, then between the nodes, where every member of a node carries its own share over its own far wire.

n members, of which `near` share a node; M bytes are the whole message, as it is after a gather or before a scatter:
    all-gather, reduce-scatter    (near - 1) / near * M / W_near  +  (nodes - 1) / nodes * M / near / W_far
    all-reduce                    both of them                    Thakur, Rabenseifner, Gropp 2005, IJHPCA 19(1):49-66
    to experts                    see `dispatch_s`
    hops                          (near - 1) * a_near             +  log2(nodes) * a_far
"""

from __future__ import annotations

from dataclasses import dataclass

from deepwide.arithmetic import largest, least, log2
from deepwide.units import Num, Real


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What joins two devices: the rate one of them really gets in one direction, and the time before the first byte."""

    bytes_per_s: Real
    hop_s: Real


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Devices by the node: `node_devices` of them share the near wire, nodes are joined by the far one."""

    near: Wire
    far: Wire
    node_devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The devices that talk to each other: `size` of them, `near` of which share a node, over `network`."""

    size: Real
    near: Real
    network: Network

    @property
    def nodes(self) -> Real:
        """Nodes that the group reaches over."""
        return self.size / self.near


def group(network: Network, size: Real, stride: Real = 1) -> Group:
    """The group of every `stride`-th device: neighbours for tensor parallelism, further apart for what lies outside."""
    return Group(size=size, near=least(size, largest(network.node_devices // stride, 1)), network=network)


def all_gather_s(message_bytes: Real, among: Group) -> Real:
    """Every member ends with the whole message, of which it had a share; one alone has it already."""
    if isinstance(among.size, int | float) and among.size == 1:
        return 0.0
    near, nodes, net = among.near, among.nodes, among.network
    inside = (near - 1) / near / net.near.bytes_per_s
    outside = (nodes - 1) / nodes / near / net.far.bytes_per_s
    time: Real = message_bytes * (inside + outside) + _hops_s(among)
    return time


def reduce_scatter_s(message_bytes: Real, among: Group) -> Real:
    """Every member ends with the sum of its share: an all-gather backwards."""
    return all_gather_s(message_bytes, among)


def all_reduce_s(message_bytes: Real, among: Group) -> Real:
    """Every member ends with the sum of the whole message."""
    return 2 * all_gather_s(message_bytes, among)


def dispatch_s(token_bytes: Real, copies: Num, among: Group) -> Real:
    """Every token goes to `copies` experts, which are spread over the members.

    Between nodes it travels once for each node that has one of its experts, inside a node once for each expert: of
    n nodes, (n - 1) (1 - (1 - 1 / n)^copies) others are met (as DeepEP does it: DeepSeek-V3, arXiv:2412.19437, 3.2.2).
    """
    near, nodes, net = among.near, among.nodes, among.network
    inside: Real = (near - 1) / near * copies * token_bytes / net.near.bytes_per_s
    outside: Real = (nodes - 1) * (1 - (1 - 1 / nodes) ** copies) * token_bytes / net.far.bytes_per_s
    return inside + outside + _hops_s(among)


def send_s(message_bytes: Real, network: Network, stride: Real) -> Real:
    """One device hands a message to the one `stride` further on: over the near wire if that is in its node."""
    inside = least(network.node_devices // (2 * stride), 1)  # 1 where the neighbour is in the node, 0 where not
    near, far = network.near, network.far
    time: Real = inside * (near.hop_s + message_bytes / near.bytes_per_s) + (1 - inside) * (
        far.hop_s + message_bytes / far.bytes_per_s
    )
    return time


def _hops_s(among: Group) -> Real:
    time: Real = (among.near - 1) * among.network.near.hop_s + log2(among.nodes) * among.network.far.hop_s
    return time
