"""Token counts of requests and the gaps between their tokens, collected in memory and written frame by frame.

Rules of this file
  1. A request that does not stream and whose server counts no tokens has no row here, and costs nothing.
  2. Every gap between two content events is kept, with 24 bits: 4 bytes each on the disk, and at most `BUFFERED_BYTES`
     and one stream in memory.
  3. Counts are the server's. Only where it did not count the output, content events stand in, and a flag says so.
"""

from __future__ import annotations

import numpy as np

from harness.client.answers import Answers, is_count
from harness.client.types import Request, Response
from harness.measure.record.rows_file import (
    FIRST_IS_COUNTED,
    GAP_DTYPE,
    GAPS,
    TOKEN_DTYPE,
    TOKEN_ROW,
    TOKENS_ARE_EVENTS,
)
from harness.measure.record.rows_writer import LateRowsWriter

BUFFERED_BYTES = 64 * 1024
"""Maximum bytes of rows of each file between two flushes."""
_FIRST_MAX = 2**16 - 1


class TokenRows:
    """The buffers of both files."""

    def __init__(self, tokens: LateRowsWriter, gaps: LateRowsWriter) -> None:
        self.tokens = tokens
        self.gaps = gaps
        # Each begins with space for the head of its frame.
        self._tokens = bytearray(TOKEN_DTYPE.itemsize)
        self._gaps = bytearray(GAP_DTYPE.itemsize)

    def add(self, request: Request, response: Response, row: int) -> None:
        """Pack the counts and gaps of a request; `row` is the place of its first row among those of requests."""
        chunks, answers = response.chunks, response.answers
        counted = answers if type(answers) is Answers else None
        usage = None if counted is None else counted.usage
        # What a cache answered, the server did not make now.
        if response.from_cache or not (chunks or usage is not None):
            return
        prompt = output = cached = reasoning = None
        if usage is not None:
            prompt, output = usage.prompt_tokens, usage.completion_tokens
            cached, reasoning = usage.cached_tokens, usage.reasoning_tokens
        flags, first = 0, 0
        if chunks:
            if not is_count(output):
                output, flags = len(chunks), TOKENS_ARE_EVENTS
            first = _first_events(chunks)
            if counted is not None and type(counted.first_tokens) is int and counted.first_tokens > 0:
                first, flags = max(first, counted.first_tokens), flags | FIRST_IS_COUNTED
        self._tokens += TOKEN_ROW.pack(
            row, request.items[0].index, _count(prompt), _count(output), _count(cached), _count(reasoning),
            min(first, _FIRST_MAX), flags,
        )  # fmt: skip
        if len(chunks) > 1:
            self._add_gaps(chunks, row)
        if len(self._tokens) > BUFFERED_BYTES or len(self._gaps) > BUFFERED_BYTES:
            self.flush()

    def _add_gaps(self, chunks: tuple[float, ...], row: int) -> None:
        found = np.diff(np.array(chunks))
        rows = np.empty(-(-len(found) // GAPS), GAP_DTYPE)
        rows["row"] = row
        padded = np.full(len(rows) * GAPS, np.nan, np.float32)
        padded[: len(found)] = found
        rows["gaps"] = padded.reshape(-1, GAPS)
        self._gaps += rows.tobytes()

    def flush(self) -> None:
        """Write the buffered rows. The files of requests are written after these, so that each row has its tokens."""
        if len(self._tokens) > TOKEN_DTYPE.itemsize:
            self.tokens.append(self._tokens, len(self._tokens))
            self._tokens = bytearray(TOKEN_DTYPE.itemsize)
        if len(self._gaps) > GAP_DTYPE.itemsize:
            self.gaps.append(self._gaps, len(self._gaps))
            self._gaps = bytearray(GAP_DTYPE.itemsize)


def _count(tokens: int | None) -> int:
    """A user's task may give anything; only whole numbers are counts."""
    return tokens if tokens is not None and is_count(tokens) else -1


def _first_events(chunks: tuple[float, ...]) -> int:
    """Number of content events that were read together with the first one."""
    first, together = chunks[0], 1
    while together < len(chunks) and chunks[together] == first:
        together += 1
    return together
