"""Bounds of servers, worked out from the records of a client whose burst takes time to arrive."""

from __future__ import annotations

from dataclasses import replace
from heapq import heappop, heappush
from random import Random

import numpy as np
import pytest

from harness.fitting.batch_units import Structure
from harness.fitting.fitted_parameters import Fit, bound_estimates
from harness.fitting.inversion import Law
from harness.fitting.profile_file import profile_of
from harness.fitting.refusal_bounds import Refusals, refusals, with_pause
from harness.fitting.request_shapes import Shape
from harness.fitting.seen import Seen
from mock_server.caller_limits import TokenBucket
from mock_server.jitter import Constant
from mock_server.profile import Limits

LAW = Law(dict.fromkeys(("base_s", "per_item_s", "per_token_s", "per_square_s", "overhead_s", "linger_s"), 0.01),
          dict.fromkeys(("base_s",), 0.0), np.ones(9), 0.0, ("base_s",))  # fmt: skip


class Server:
    """Workers (0: no bound), at most `bound` requests in it or 503, and a token bucket or 429."""

    def __init__(self, service_s: float, workers: int = 0, bound: int = 10**9, rate: float = 0.0, burst: int = 1):
        self.service_s, self.workers, self.bound, self.rate, self.burst = service_s, workers, bound, rate, burst

    def play(self, sent: list[float], arrived: list[float], concurrency: int) -> Seen:
        bucket = TokenBucket(self.rate, self.burst) if self.rate else None
        inside, free = list[float](), [0.0] * self.workers
        done, status = [0.0] * len(sent), [200] * len(sent)
        for place in sorted(range(len(sent)), key=arrived.__getitem__):
            now = done[place] = arrived[place]
            while inside and inside[0] <= now:
                heappop(inside)
            if bucket is not None and bucket.wait_s(now):
                status[place] = 429
            elif len(inside) >= self.bound:
                status[place] = 503
            else:
                done[place] = (max(now, heappop(free)) if self.workers else now) + self.service_s
                heappush(inside, done[place])
                if self.workers:
                    heappush(free, done[place])
        ok, nothing = np.array(status) == 200, np.full(len(sent), np.nan)
        shapes = (Shape("similarity", (10,)),) * len(sent)
        # 0.3 ms back to the client.
        back = np.array(done) + 0.0003
        return Seen("load", concurrency, shapes, np.array(sent), nothing, nothing, back, ok, ~ok,
                    np.array(status, float), nothing, np.array(sent))  # fmt: skip

    def found(self, spread_s: float, arrivals_per_s: float) -> Refusals:
        """The bounds: a burst of 512 that is stamped at once and arrives in this time, and arrivals over HTTP."""
        rng = Random(4)
        stamped = [place * 4e-6 for place in range(512)]
        burst = self.play(stamped, [at + rng.uniform(0.0003, 0.0003 + spread_s) for at in stamped], 512)
        instants = np.cumsum([rng.expovariate(arrivals_per_s) for _ in range(int(14 * arrivals_per_s))]).tolist()
        arrivals = self.play(instants, [at + rng.uniform(0.0002, 0.0006) for at in instants], 0)
        alone = [place * 1.0 for place in range(20)]
        return refusals(burst, arrivals, [self.play(alone, [at + 0.0003 for at in alone], 1)])


SPREADS = pytest.mark.parametrize("spread_s", [0.0, 0.02, 0.1, 0.2])


@SPREADS
def test_a_queue_and_a_rate_are_both_found_however_long_a_burst_takes_to_arrive(spread_s: float) -> None:
    """As the profile `demo-bounded`: slots that become free while a burst arrives are taken by requests of it."""
    found = Server(0.010, workers=4, bound=36, rate=500.0, burst=50).found(spread_s, 600.0)
    assert found.queue == 36
    assert found.queue_busy
    assert found.in_flight is None
    assert found.rate_per_s == pytest.approx(500.0, rel=0.01)
    assert found.rate_status == 429
    assert found.burst == pytest.approx(50, abs=1)
    assert found.queue_max(4) == 32


@SPREADS
def test_a_burst_has_no_room_that_came_while_it_arrived(spread_s: float) -> None:
    found = Server(0.060, rate=50.0, burst=10).found(spread_s, 75.0)
    assert (found.in_flight, found.queue) == (None, None)
    assert found.rate_per_s == pytest.approx(50.0, rel=0.01)
    assert found.burst == pytest.approx(10, abs=1)


@SPREADS
def test_a_bound_without_a_queue_is_one_of_requests_in_flight(spread_s: float) -> None:
    """As of `uvicorn --limit-concurrency 40`: nothing waits, so no queue of the mock would refuse anything."""
    found = Server(0.120, bound=40).found(spread_s, 500.0)
    assert found == Refusals(queue=40, queue_busy=True, in_flight_seen=found.in_flight_seen)
    made = Fit(Structure(0, 1), LAW, Constant(), None, None, found, ())
    assert profile_of(made).limits == Limits(in_flight=40, status=503)
    assert [(one.name, one.value, one.determined) for one in bound_estimates(found, 0)] == [("in_flight", 40, True)]
    # With workers it is a queue again.
    waits = replace(made, structure=Structure(4, 1))
    assert profile_of(waits).limits == Limits()
    assert profile_of(waits).capacity.queue_max == 36


def test_whole_batches_do_not_wait() -> None:
    """With 32 waiting and 8 in the one worker, 40 are in the server. A burst meets an idle worker, which takes one."""
    assert Refusals(queue=40, queue_busy=True).queue_max(1, 8) == 32
    assert Refusals(queue=33).queue_max(1, 8) == 32
    assert Refusals(queue=40, queue_busy=True, batch_items=6.0).queue_max(1, 8) == 34
    assert Refusals(queue=40, queue_busy=True).queue_max(8, 8) == 0
    assert Refusals().queue_max(1, 8) is None


def test_a_bucket_that_was_not_full_again_is_bounded_below() -> None:
    """2/s with a burst of 20: after refusals a pause of a second gives two, of a minute all of them."""
    emptied = Server(0.010, rate=2.0, burst=1).play([0.0, 0.01], [0.0, 0.01], 1)
    slow = Refusals(rate_per_s=2.0, burst=2)
    assert not with_pause(slow, [emptied], 1.0).burst_known
    assert with_pause(slow, [emptied.part([0])], 1.0).burst_known
    assert with_pause(replace(slow, burst=20), [emptied], 60.0).burst_known
    estimates = {one.name: one.determined for one in bound_estimates(with_pause(slow, [emptied], 1.0), 0)}
    assert estimates["rate_per_s"]
    assert not estimates["burst"]
