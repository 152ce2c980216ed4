"""Local ports of this machine: each connection to one server over TCP takes one, from a range that may be widened."""

from __future__ import annotations

from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
WIDER = 'sysctl -w net.ipv4.ip_local_port_range="1024 65535"'


def local_ports() -> int | None:
    """How many there are for connections to one address; None if the system does not say."""
    try:
        first, last = map(int, RANGE.read_text().split())
    except (OSError, ValueError):
        return None
    return max(0, last - first + 1)


def advice() -> str:
    """The number of ports, and a remedy."""
    ports = local_ports()
    has = "" if ports is None else f"this machine has {ports} of them: "
    return f"{has}widen the range with `{WIDER}`, or keep fewer connections"
