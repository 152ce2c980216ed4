"""Who processes which part of the input: ranges, leases, shares. Pure: no files, no clock, no engine."""

from harness.bulk.leases.leases import Lease, Leases
from harness.bulk.leases.range import Range

__all__ = ["Lease", "Leases", "Range"]
