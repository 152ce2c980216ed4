"""Any order of leases, losses, delays and restarts: one valid holder a range, and one end."""

from __future__ import annotations

import contextlib
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from harness.bulk.leases.held import Held
from harness.bulk.leases.leases import Finished, Lease, Leases
from harness.bulk.leases.range import Range
from tests.bulk.leases.looks import held, ready

TTL_S = 10.0
WORKERS = st.sampled_from(["a", "b", "c"])


class Coordinator:
    """A coordinator with a journal that survives it; each session restores the state from it."""

    def __init__(self, ranges: int) -> None:
        self.journal: list[tuple[str, int, object]] = [("cut", number, None) for number in range(ranges)]
        self.start()

    def start(self, now: float = 0.0) -> None:
        """A new session on the same journal; workers of the one before may be alive."""
        self.leases = Leases(TTL_S)
        joined = sum(kind == "joined" for kind, _, _ in self.journal)
        self.leases.skip_to(joined)
        for kind, number, value in self.journal:
            if kind == "cut" and number >= joined:
                self.leases.add(Range(number, number, number + 1))
            elif kind == "granted":
                assert isinstance(value, int)
                self.leases.restore(number, value, now + TTL_S)
            elif kind == "done":
                assert isinstance(value, Finished)
                self.leases.restore_done(value)
        self.leases.closed = True

    def grant(self, worker: str, now: float) -> Lease | None:
        """Journal first."""
        lease = self.leases.grant(worker, now)
        if lease is not None:
            self.journal.append(("granted", lease.range.number, lease.epoch))
        return lease

    def done(self, worker: str, report: Finished, now: float) -> bool:
        """Journal first; a repeated report adds nothing."""
        accepted = self.leases.done(worker, report, now)
        if accepted and ("done", report.number, report) not in self.journal:
            self.journal.append(("done", report.number, report))
        return accepted

    def join(self) -> None:
        """Join what is ready."""
        while (found := ready(self.leases)) is not None:
            self.journal.append(("joined", found[0].number, found[1]))
            self.leases.join()


class Machine(RuleBasedStateMachine):
    """Rules of a run with three workers; time passes only by its own rule."""

    def __init__(self) -> None:
        super().__init__()
        self.coordinator = Coordinator(4)
        self.now = 0.0
        self.leases: list[Lease] = []
        self.done: dict[int, Finished] = {}
        self.epochs: dict[int, int] = {}

    @rule(worker=WORKERS)
    def grant(self, worker: str) -> None:
        lease = self.coordinator.grant(worker, self.now)
        if lease is not None:
            assert lease.epoch > self.epochs.get(lease.range.number, 0)
            assert lease.range.number not in self.done
            self.epochs[lease.range.number] = lease.epoch
            self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), size=st.integers(0, 3))
    def finish(self, data: st.DataObject, size: int) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        report = Finished(lease.range.number, lease.epoch, size)
        if self.coordinator.done(lease.worker, report, self.now):
            assert self.done.setdefault(lease.range.number, report) == report
            assert lease.epoch == self.epochs[lease.range.number], "an older epoch was accepted"

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        if self.coordinator.leases.renew(lease.worker, lease.range.number, lease.epoch, self.now):
            assert lease.epoch == self.epochs[lease.range.number]

    @rule(worker=WORKERS)
    def lose(self, worker: str) -> None:
        self.coordinator.leases.lost(worker)

    @rule(seconds=st.floats(0.1, 15.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def join(self) -> None:
        self.coordinator.join()

    @rule()
    def restart(self) -> None:
        self.coordinator.start(self.now)

    @invariant()
    def one_holder(self) -> None:
        numbers = [number for number, _ in held(self.coordinator.leases)]
        assert len(numbers) == len(set(numbers))
        assert not set(numbers) & self.done.keys()

    @invariant()
    def joined_in_order(self) -> None:
        joined = [(number, value) for kind, number, value in self.coordinator.journal if kind == "joined"]
        assert [number for number, _ in joined] == list(range(len(joined)))
        assert all(self.done[number] == value for number, value in joined)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class Worker:
    """A worker whose messages take time, and which stops when its lease is over by its own clock."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held = Held(TTL_S)
        self.lease: Lease | None = None
        self.left = 0.0
        self.answer_at: float | None = None
        self.asked_at = 0.0
        self.mute_until = 0.0


@pytest.mark.parametrize("seed", range(8))
def test_random_kills_and_delays(seed: int) -> None:
    """At every instant at most one worker may work on a range; every range is joined once."""
    rng = Random(seed)
    coordinator, now, count = Coordinator(12), 0.0, 0
    workers = {name: Worker(name) for name in ("w0", "w1", "w2")}
    while not coordinator.leases.complete:
        now += 0.5
        assert now < 3_000.0, "it never ends"
        for worker in list(workers.values()):
            _step(worker, coordinator, now, rng)
            if rng.random() < 0.004:
                count += 1
                del workers[worker.name]
                workers[f"n{count}"] = Worker(f"n{count}")
                # Its death is noticed at once, or only by the time to live.
                if rng.random() < 0.5:
                    coordinator.leases.lost(worker.name)
        if rng.random() < 0.004:
            coordinator.start(now)
        busy = [w.lease.range.number for w in workers.values() if w.lease and not w.held.over(now)]
        assert len(busy) == len(set(busy)), f"two workers on one range at {now}"
        coordinator.join()
    joined = [number for kind, number, _ in coordinator.journal if kind == "joined"]
    assert joined == list(range(12))
    assert len({number for kind, number, _ in coordinator.journal if kind == "done"}) == 12


def _step(worker: Worker, coordinator: Coordinator, now: float, rng: Random) -> None:
    if now < worker.mute_until:
        # It is paused (SIGSTOP, a network that is cut): it works on only as far as its lease goes.
        return
    if rng.random() < 0.01:
        worker.mute_until = now + rng.uniform(0, 3 * TTL_S)
    if worker.lease is not None and worker.held.over(now):
        worker.lease = None
    if worker.lease is not None:
        worker.left -= 0.5
    if worker.answer_at is None:
        worker.held.sent(now)
        worker.asked_at, worker.answer_at = now, now + rng.expovariate(1.0)
        worker.arrives_at = now + (worker.answer_at - now) * rng.random()  # type: ignore[attr-defined]
    if worker.answer_at is not None and now >= worker.answer_at:
        worker.answer_at = None
        with contextlib.suppress(KeyError):
            _exchange(worker, coordinator, worker.asked_at, now, rng)


def _exchange(worker: Worker, coordinator: Coordinator, asked_at: float, now: float, rng: Random) -> None:
    """The coordinator got the message at some instant in between; the answer is here."""
    lease = worker.lease
    if lease is None:
        worker.lease = coordinator.grant(worker.name, now)
        worker.left = rng.uniform(1.0, 30.0)
        worker.held.answered()
    elif worker.left <= 0:
        coordinator.done(worker.name, Finished(lease.range.number, lease.epoch), now)
        worker.lease = None
    elif coordinator.leases.renew(worker.name, lease.range.number, lease.epoch, now):
        worker.held.answered()
    else:
        worker.lease = None
