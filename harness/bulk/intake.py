"""Source of items for the strategy: the remaining lines, read ahead within a window.

Rules of this file
  1. Memory: at most `window` lines lie between the oldest that is not settled and the newest that was given out (ten
     times that in completion order, of which `window` are out), and at most `PENDING_BYTES` of results wait their turn.
  2. An item whose connection failed is sent again soon, even if the window is full: such items may be what fills it.
  3. After `stop` no item is given out. Lines not settled by then remain for the next session.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from harness.base.clock import clock
from harness.bulk.block_reader import LineBlock
from harness.bulk.row_items import Rows, Ticket
from harness.bulk.saving import Store
from harness.bulk.source import InputSource
from harness.client.types import Item
from harness.load.lines import LongLine

PENDING_BYTES = 32 * 1024 * 1024

BadLine = Callable[[Ticket, str], None]


class Intake:
    """An async iterator of items; a second iteration gives out the items to send again."""

    def __init__(
        self,
        source: InputSource,
        rows: Rows,
        store: Store,
        *,
        window: int,
        ordered: bool,
        probe: Callable[[Ticket], Awaitable[None]],
        on_bad: BadLine,
        on_blank: Callable[[], None],
        on_left_out: Callable[[], None],
    ) -> None:
        self.out: dict[int, Ticket] = {}
        self.again: deque[Item] = deque()
        self._source = source
        self._rows = rows
        self._store = store
        self._window = window
        self._span = window if ordered else 10 * window
        self._probe = probe
        self._on_bad = on_bad
        self._on_blank = on_blank
        self._on_left_out = on_left_out
        self._blocks: AsyncGenerator[LineBlock, None] = source.blocks(store.marks[0], store.read)
        self._reading: asyncio.Task[LineBlock | None] | None = None
        self._lines: list[bytes | LongLine] = []
        self._first = self._position = 0
        self.stopped = False
        self._ended = False
        self._wake: asyncio.Future[None] | None = None

    @property
    def given(self) -> int:
        """Number of the last line that was given out."""
        return self._first + self._position - 1

    @property
    def read_all(self) -> bool:
        """Whether every line was given out."""
        return self._ended and self._position >= len(self._lines)

    def settled(self, line: int) -> None:
        """Release a settled line."""
        del self.out[line]
        self._wake_up()

    def send_again(self, item: Item) -> None:
        """Give this item out once more, at the time on its ticket."""
        self.again.append(item)
        self._wake_up()

    def stop(self) -> None:
        """Give out no more items."""
        self.stopped = True
        self._wake_up()

    def _wake_up(self) -> None:
        """Wake the iterator: there may be room, or an item to send again."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def close(self) -> None:
        """Stop reading the input."""
        if self._reading is not None:
            if self._source.waits:
                # Only a pipe is cancelled: a file read ends soon, and its thread must not outlive the file.
                self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._blocks.aclose()

    def __aiter__(self) -> Intake:
        return self

    async def __anext__(self) -> Item:
        while not self.stopped:
            wait_s = self._wait_s()
            if wait_s is not None and wait_s <= 0:
                item = self.again.popleft()
                await self._probe(self.out[item.index])
                return item
            if self._position < len(self._lines) and not self._full():
                if (next_item := self._take()) is not None:
                    return next_item
            elif self._position < len(self._lines):
                await self._change(seconds=wait_s)
            elif not await self._next_block(wait_s):
                if wait_s is None:
                    break
                await self._change(seconds=wait_s)
        raise StopAsyncIteration

    def _wait_s(self) -> float | None:
        """Seconds until an item may be sent again; None if no item waits."""
        return self.out[self.again[0].index].not_before - clock()() if self.again else None

    def _full(self) -> bool:
        store = self._store
        return (
            self._first + self._position - store.done.next >= self._span
            or len(self.out) >= self._window
            or store.pending_bytes >= PENDING_BYTES
        )

    def _take(self) -> Item | None:
        """The next line's item; None if it is blank, not wanted, malformed or settled."""
        number, raw = self._first + self._position, self._lines[self._position]
        self._lines[self._position] = b""
        self._position += 1
        if number in self._store.done:
            return None
        if self._rows.is_header(number):
            self._store.skip(number)
            return None
        if isinstance(raw, bytes) and not raw.strip():
            self._store.skip(number)
            self._on_blank()
            return None
        item, ticket, why = self._rows.item(number, raw)
        if item is None and why is None:
            self._store.skip(number)
            self._on_left_out()
            return None
        if item is None:
            assert why is not None  # noqa: S101 - the case above
            self._on_bad(ticket, why)
            return None
        self.out[number] = ticket
        return item

    async def _next_block(self, seconds: float | None) -> bool:
        """Read the next lines; False at the end. Returns early if the iterator is woken."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        await self._change(self._reading, seconds=seconds)
        if self._reading.done():
            block, self._reading = self._reading.result(), None
            if block is None:
                self._ended = True
                return False
            self._lines, self._first, self._position = block.lines, block.mark.line, 0
            self._store.block(block.mark, block.end)
        return True

    async def _read(self) -> LineBlock | None:
        return await anext(self._blocks, None)

    async def _change(self, *others: asyncio.Task[LineBlock | None], seconds: float | None = None) -> None:
        """Wait for a change, for one of `others`, or for `seconds`."""
        self._wake = asyncio.get_running_loop().create_future()
        waited: set[asyncio.Future[Any]] = {self._wake, *others}
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        self._wake = None
