"""The figures of a self-test, as they are stored and as `--json` writes them. Seconds are floats; unknown is null."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

SCHEMA_VERSION = 1
ERROR_MIN_S = 0.001
ERROR_SHARE_MAX = 0.01
BUSY_SHARE = 0.9


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Injected and measured quantiles of one figure, and what disturbed client and mock meanwhile."""

    name: str  # the law, or the strategy with its settings
    transport: str | None = None  # that measured a law
    injected_p50_s: float
    injected_p99_s: float | None = None  # null: not compared
    n: int = 0
    measured_p50_s: float | None = None
    measured_p99_s: float | None = None
    figure: str = "service_time_s"  # the distribution of a case that shows it
    in_flight: int | None = None  # requests in flight, as asked for
    in_flight_mean: float | None = None
    # Share of the time for which the thread that waited longest was ready to run and had no processor.
    client_wait_share: float | None = None
    mock_wait_share: float | None = None
    client_cpu_share: float | None = None  # of one core
    mock_cpu_share: float | None = None
    makespan_s: float | None = None  # of the run that measured it
    loop_lag_p50_s: float | None = None
    # Time for which requests of a burst, or answers that came together, waited for each other in the client, at most.
    burst_p50_s: float | None = None
    burst_p99_s: float | None = None
    host_steal_share: float | None = None
    codes: list[str] = []  # of the reasons of the verdict on this run

    @property
    def errors_s(self) -> list[tuple[str, float, float]]:
        """(percentile, measured minus injected, tolerance) of every quantile that was measured."""
        pairs = [
            ("p50", self.measured_p50_s, self.injected_p50_s),
            ("p99", self.measured_p99_s, self.injected_p99_s),
        ]
        return [
            (name, measured - injected, max(ERROR_MIN_S, ERROR_SHARE_MAX * injected))
            for name, measured, injected in pairs
            if measured is not None and injected is not None
        ]

    @property
    def off(self) -> list[tuple[str, float, float]]:
        """The errors beyond their tolerance."""
        return [(name, error, limit) for name, error, limit in self.errors_s if abs(error) > limit]


class Ceiling(msgspec.Struct, frozen=True):
    """The highest rate of one client process against a mock that answers at once."""

    rate_per_s: float
    client_cpu_us: float | None = None  # CPU time of the client for a request
    mock_cpu_us: float | None = None

    @property
    def mock_share(self) -> float | None:
        """Share of a core that the mock used meanwhile."""
        return None if self.mock_cpu_us is None else min(1.0, self.rate_per_s * self.mock_cpu_us / 1e6)

    @property
    def client_share(self) -> float | None:
        """Share of a core that the client used meanwhile."""
        return None if self.client_cpu_us is None else min(1.0, self.rate_per_s * self.client_cpu_us / 1e6)

    @property
    def limited_by(self) -> str:
        """`client`, `mock`, or `processor` where both had to wait for one."""
        client, mock = self.client_share or 0.0, self.mock_share or 0.0
        if max(client, mock) < BUSY_SHARE:
            return "processor"
        return "client" if client >= mock else "mock"


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine and this client can do."""

    schema_version: int = SCHEMA_VERSION
    version: str  # of paceline
    machine: dict[str, str]
    measured_unix_s: float
    took_s: float
    load_average_1m: float | None = None  # before the self-test
    ceilings: dict[str, Ceiling]  # by transport
    mock_ceiling_per_s: float | None = None  # driven by a client that only counts answers
    plain_client_cpu_us: float | None = None  # CPU time of that client for a request
    laws: list[Compared]
    table: list[Compared] = []  # each strategy at several numbers in flight
    sleep_late_p50_s: float
    sleep_late_p99_s: float
    loop_lag_p50_s: float | None = None  # of an event loop without work
    loop_lag_p99_s: float | None = None
    run_queue_share: float | None = None  # of the client
    mock_wait_share: float | None = None
    fit: bool = False
    text: str = ""  # the verdict, one line
    reasons: list[str] = []


class KnownMachine(msgspec.Struct, frozen=True):
    """The part of a stored self-test that a later run on the same machine is compared with."""

    measured_on: str  # the date
    ceilings_per_s: dict[str, float] = {}  # one process, by transport
    errors_s: dict[str, dict[str, float]] = {}  # figure -> percentile -> largest absolute error of all transports
    mock_ceiling_per_s: float | None = None
    transport_errors_s: dict[str, dict[str, dict[str, float]]] = {}  # the same for each transport alone

    def errors_of(self, transport: str) -> dict[str, dict[str, float]]:
        """The errors of a transport; where it was not measured, the largest of all."""
        return self.transport_errors_s.get(transport, self.errors_s)


def known(found: SelfTest, measured_on: str) -> KnownMachine:
    """What later runs need."""
    transports = {law.transport for law in found.laws if law.transport is not None}
    of_each = {name: _largest([law for law in found.laws if law.transport == name]) for name in sorted(transports)}
    ceilings = {name: ceiling.rate_per_s for name, ceiling in found.ceilings.items()}
    return KnownMachine(measured_on, ceilings, _largest(found.laws), found.mock_ceiling_per_s, of_each)


def _largest(laws: Iterable[Compared]) -> dict[str, dict[str, float]]:
    """The largest absolute error of each figure and percentile."""
    errors: dict[str, dict[str, float]] = {}
    for law in laws:
        of = errors.setdefault(law.figure, {})
        for name, error, _ in law.errors_s:
            of[name] = max(of.get(name, 0.0), abs(error))
    return errors
