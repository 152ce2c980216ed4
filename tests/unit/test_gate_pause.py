"""A server that refuses everything and says until when is left alone until then; one that is merely full is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.layers.retry import Retry
from harness.client.limits.aimd import Aimd
from harness.client.limits.fixed import Fixed
from harness.client.types import Outcome, Request, Response
from tests.unit.gate_helpers import Hinting, ask_now, settle
from tests.unit.layer_helpers import ask, virtually

OK, REFUSED = Outcome.ok, Outcome.rejected


class Outage(Hinting):
    """Refuses everything until an instant, quickly and with a hint; then takes a tenth of a second."""

    def __init__(self, until: float, hint_s: float) -> None:
        super().__init__(lambda n: 0.1 if self.up else 0.005, lambda n: OK, lambda n: hint_s)
        self.until = until
        self.up = False

    async def __call__(self, request: Request, /) -> Response:
        self.up = asyncio.get_running_loop().time() >= self.until
        self._becomes = lambda n, up=self.up: OK if up else REFUSED  # type: ignore[misc]
        return await super().__call__(request)


class Full:
    """So many workers, no queue: what comes on top is refused at once, with a hint of a second."""

    def __init__(self, workers: int) -> None:
        self.free = workers
        self.ok = self.refused = 0

    async def __call__(self, request: Request, /) -> Response:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        if not self.free:
            self.refused += 1
            await asyncio.sleep(0.005)
            return Response(REFUSED, 429, sent=sent, done=loop.time(), retry_after_s=1.0)
        self.free -= 1
        await asyncio.sleep(0.1)
        self.free += 1
        self.ok += 1
        return Response(OK, 200, ("x",), sent, loop.time(), loop.time())


@pytest.mark.parametrize("limit", [Fixed(8), Aimd(initial=8)])
def test_in_an_outage_nothing_starts_before_the_hint_and_one_probe_goes_first(limit: Any) -> None:
    async def main() -> None:
        server = Outage(until=4.0, hint_s=1.0)
        gate = ConcurrencyLimit(server, limit, respect_retry_after=True)
        first = ask_now(gate, 8)
        await asyncio.gather(*first)
        assert server.seen == 8
        rest = ask_now(gate, 20)
        await settle()
        assert not gate.vacant
        await asyncio.gather(*rest)
        starts = [round(start, 3) for start in server.starts[8:]]
        assert starts[:4] == [1.005, 2.01, 3.015, 4.02]  # one probe a hint
        assert starts[4:6] == [4.12, 4.12]  # it was accepted, and the rest follow

    virtually(main())


def test_a_client_with_retries_sends_little_into_an_outage() -> None:
    async def main() -> list[int]:
        sent = []
        for obeying in (True, False):
            server = Outage(until=asyncio.get_running_loop().time() + 30.0, hint_s=2.0)
            gate = ConcurrencyLimit(server, Fixed(16), respect_retry_after=True)
            send = Retry(gate if obeying else server, retries=40, throttle_base_s=0.1)
            await asyncio.gather(*(asyncio.create_task(send(ask(str(n), n))) for n in range(100)))
            sent.append(server.seen - 100)
        return sent

    obeying, hammering = virtually(main())
    assert obeying <= 16 + 16  # those in flight when it began, and a probe each two seconds
    assert hammering > 1000 - 100


def test_a_full_server_is_not_paused_for() -> None:
    """Eight workers, sixteen in flight: what leaves is replaced at once, although refusals say a second."""

    async def main() -> float:
        server = Full(8)
        gate = ConcurrencyLimit(server, Fixed(16), respect_retry_after=True)
        loop = asyncio.get_running_loop()

        async def worker() -> None:
            while loop.time() < 10.0:
                if (await gate(ask())).outcome is REFUSED:
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(worker() for _ in range(16)))
        return server.ok / 10.0

    assert virtually(main()) >= 0.97 * 80.0


def test_a_refusal_after_an_acceptance_pauses_nothing() -> None:
    async def main() -> None:
        server = Hinting(lambda n: 0.01 if n else 0.05, lambda n: OK if n != 0 else REFUSED, lambda n: 5.0)
        gate = ConcurrencyLimit(server, Fixed(4), respect_retry_after=True)
        await asyncio.gather(*ask_now(gate, 12))
        assert server.starts[-1] < 0.05
        assert gate.vacant

    virtually(main())


def test_a_hint_is_at_most_a_minute_and_none_or_zero_pauses_nothing() -> None:
    async def main() -> None:
        for hint, start in ((3600.0, 60.005), (None, 0.005), (0.0, 0.005)):
            server = Hinting(lambda n: 0.005, lambda n: OK if n else REFUSED, lambda n, hint=hint: hint)  # type: ignore[misc]
            gate = ConcurrencyLimit(server, Fixed(4), respect_retry_after=True)
            begun = asyncio.get_running_loop().time()
            await gate(ask())
            await gate(ask())
            assert server.starts[1] - begun == pytest.approx(start)

    virtually(main())


def test_a_probe_that_tells_nothing_is_followed_by_the_next_and_a_slow_one_holds_up_nobody_for_long() -> None:
    """Cut off, cancelled or failed: another one. Not refused for a second: it was accepted."""
    kinds = {0: REFUSED, 1: Outcome.connection_error, 2: Outcome.server_error}

    async def main() -> None:
        server = Hinting(lambda n: 0.005 if n < 4 else 30.0, lambda n: kinds.get(n, OK), lambda n: 1.0)
        gate = ConcurrencyLimit(server, Fixed(4), respect_retry_after=True)
        await gate(ask())
        tasks = ask_now(gate, 2)
        await asyncio.gather(*tasks)
        assert [round(start, 3) for start in server.starts[1:]] == [1.005, 1.01]
        server._takes = lambda n: 30.0
        probe, *rest = ask_now(gate, 4)
        await settle()
        assert (server.seen, gate.waiting) == (4, 3)
        probe.cancel()
        await settle()
        assert (server.seen, gate.waiting) == (5, 2)
        await asyncio.gather(*rest)
        assert [round(start, 3) for start in server.starts[5:]] == [2.015, 2.015]

    virtually(main())


def test_deadlines_and_cancellation_work_in_a_pause() -> None:
    async def main() -> None:
        server = Outage(until=3.0, hint_s=4.0)
        gate = ConcurrencyLimit(server, Fixed(2), respect_retry_after=True)
        await gate(ask())
        loop = asyncio.get_running_loop()
        hasty, last, never = (
            asyncio.create_task(gate(ask(deadline=deadline))) for deadline in (2.0, float("inf"), 100.0)
        )
        watcher = asyncio.create_task(gate.vacancy())
        loop.call_at(4.005, last.cancel)  # the probe, just as it is served
        assert (await hasty).outcome is Outcome.not_sent
        assert loop.time() == 2.0
        assert (await never).outcome is OK
        await watcher
        assert server.seen == 2
        assert server.starts[1] == pytest.approx(4.005)
        assert gate.in_flight == 0

    virtually(main())


def test_a_quota_that_is_used_up_is_waited_for_and_the_rest_is_not_read() -> None:
    def headers(number: int) -> dict[str, str]:
        left = 3 - number % 4
        return {"x-ratelimit-limit": "4", "x-ratelimit-remaining": str(left), "x-ratelimit-reset": "2"}

    async def main() -> None:
        server = Hinting(lambda n: 0.01, headers=headers)
        gate = ConcurrencyLimit(server, Fixed(1), respect_retry_after=True)
        await asyncio.gather(*ask_now(gate, 9))
        starts = [round(start, 2) for start in server.starts]
        assert starts == [0.0, 0.01, 0.02, 0.03, 2.04, 2.05, 2.06, 2.07, 4.08]

    virtually(main())


def test_a_quota_that_refills_bit_by_bit_is_paced_and_forgotten() -> None:
    """60 a minute, none left: one a second, not a minute of silence; once it is whole again, the limit alone counts."""
    exhausted = {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "5s",
    }

    async def main() -> None:
        server = Hinting(
            lambda n: 0.01, headers=lambda n: exhausted if n == 0 else {"x-ratelimit-remaining-requests": "4"}
        )
        gate = ConcurrencyLimit(server, Fixed(2), respect_retry_after=True)
        await asyncio.gather(*ask_now(gate, 30))
        starts = [round(start, 1) for start in server.starts]
        assert starts[:2] == [0.0, 0.0]
        assert starts[2:12] == [round(0.5 * n, 1) for n in range(1, 11)]
        assert starts[-1] <= 5.2

    virtually(main())


def test_answers_that_tell_nothing_are_soon_hardly_looked_at() -> None:
    looks = 0

    class Headers(dict[str, str]):
        def __contains__(self, key: object) -> bool:
            nonlocal looks
            looks += key == "ratelimit"
            return super().__contains__(key)

    async def main() -> None:
        silent = Headers(server="x")
        exhausted = Headers({"RateLimit".lower(): '"default";r=0;t=7'})
        server = Hinting(lambda n: 0.01, headers=lambda n: exhausted if n >= 500 else silent)
        gate = ConcurrencyLimit(server, Fixed(1), respect_retry_after=True)
        for _ in range(500):
            await gate(ask())
        assert looks <= 8 + 500 / 32
        for _ in range(40):
            await gate(ask())
        assert max(b - a for a, b in zip(server.starts, server.starts[1:], strict=False)) == pytest.approx(7.01)

    virtually(main())


def test_a_fixed_limit_ignores_retry_after_unless_set_to_respect_it() -> None:
    async def main() -> None:
        for respects, starts in ((None, [0.0, 0.005]), (True, [0.01, 1.015]), (False, [1.02, 1.025])):
            server = Hinting(lambda n: 0.005, lambda n: OK if n else REFUSED, lambda n: 1.0)
            gate = ConcurrencyLimit(server, Fixed(2), respects)
            await gate(ask())
            assert gate.vacant is not respects
            await gate(ask())
            assert [round(start, 3) for start in server.starts] == starts

    virtually(main())
