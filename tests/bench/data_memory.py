"""Memory of reading one million rows of Parquet or Arrow, by hand.

    python -m tests.bench.data_memory [parquet|arrow] [read|process]

It writes a file of a million rows into a temporary folder, and reads it in a process of its own as `process` and
`compare` do. The figure is how far the resident memory rises from the 10,000th row to its highest value.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

GROWTH_MAX_MB = 40.0


def write(path: Path, rows: int, group: int = 100_000) -> None:
    """Rows with an id, a text of about 100 characters and a number."""
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([("id", pyarrow.string()), ("text", pyarrow.string()), ("x", pyarrow.float64())])
    parquet = path.suffix == ".parquet"
    opened = pyarrow.parquet.ParquetWriter if parquet else pyarrow.ipc.new_file
    with opened(str(path), schema) as out:
        for start in range(0, rows, group):
            numbers = range(start, min(rows, start + group))
            texts = [f"row {n} " + f"{n * 7919 % 1000003:07d} " * 12 for n in numbers]
            columns = [[f"i{n}" for n in numbers], texts, [n / 7 for n in numbers]]
            out.write_table(pyarrow.table(columns, schema=schema))


def growth_mb(path: Path, begin: int = 10_000) -> tuple[int, float]:
    """Rows read, and how far the resident memory rose after row `begin`."""
    import psutil

    from harness import plugins
    from harness.load.workloads.jsonl import Jsonl

    this, rows, low, high = psutil.Process(), 0, 0, 0
    for rows, _ in enumerate(Jsonl(path).rows(plugins.make("task", "embed")), 1):
        if rows == begin:
            low = high = this.memory_info().rss
        elif rows % 2_000 == 0 and rows > begin:
            high = max(high, this.memory_info().rss)
    return rows, (high - low) / 1e6


def growth_of_process_mb(path: Path, begin: int = 10_000) -> tuple[int, float]:
    """Rows answered by `process`, with a send that answers at once, and how far the memory rose after row `begin`."""
    import psutil

    from harness.bulk import Process, ProcessSettings
    from harness.client.types import Outcome, Request, Response

    this, seen = psutil.Process(), list[int]()
    low = high = 0

    async def send(request: Request, /) -> Response:
        nonlocal low, high
        seen[:] = [sum(seen) + 1]
        if seen[0] == begin:
            low = high = this.memory_info().rss
        elif seen[0] % 5_000 == 0 and low:
            high = max(high, this.memory_info().rss)
        await asyncio.sleep(0)
        return Response(Outcome.ok, 200, ("answer",))

    settings = ProcessSettings(
        input=str(path), output=f"{path}.jsonl", tasks=("embed",), strategy="queue-stream:concurrency=50"
    )
    counts = asyncio.run(Process(settings, send).run()).counts
    return counts["ok"], (high - low) / 1e6


def main(form: str = "parquet", how: str = "read", rows: int = 1_000_000) -> None:
    """Write, measure, print; exit code 1 if it grew by more than allowed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows.{form}"
        write(path, rows)
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.data_memory", f"--{how}", str(path)], check=True, capture_output=True
        )
        read, grown = done.stdout.decode().split()
        print(
            f"{how} {form}, {int(read):,} rows, {path.stat().st_size / 1e6:.0f} MB on disk: memory grew by {grown} MB"
        )
        sys.exit(float(grown) > GROWTH_MAX_MB or int(read) != rows)


if __name__ == "__main__":
    measures = {"--read": growth_mb, "--process": growth_of_process_mb}
    if (wanted := measures.get("".join(sys.argv[1:2]))) is not None:
        print(*[f"{value:.1f}" if isinstance(value, float) else value for value in wanted(Path(sys.argv[2]))])
    else:
        main(*sys.argv[1:3])
