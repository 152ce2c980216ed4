"""Damaged files of a run: one changed bit never gives wrong figures with the verdict "valid"."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import msgspec
import pytest

from harness.client.errors import UsageError
from harness.client.hooks import LimitDetails
from harness.measure.record.files import find
from harness.measure.record.frames import frame, walk
from harness.measure.record.plan import CaseFacts, write_facts
from harness.measure.record.rows_file import MAGIC, OLD_MAGIC, End, read
from harness.measure.record.sealed_json import DamagedError, read_sealed, seal
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import RunResult
from tests.unit.recorded import Exchange, end, plan, plan_case, record, recorder

FLIPS = 250


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid run: two processes, several flushes, retries, ticks and decisions of a limit."""
    directory = tmp_path_factory.mktemp("run")
    for process in (0, 1):
        into = recorder(directory, process=process)
        for flush in range(6):
            exchanges = [
                Exchange(
                    0.0,
                    k * 0.1,
                    k * 0.1 + 0.09,
                    previous=((k * 0.1 - 0.05, k * 0.1 - 0.01, 429),) if k % 9 == 1 else (),
                )
                for k in range(flush * 20, flush * 20 + 20)
            ]
            record(into, exchanges, 1000 * process + flush * 20)
            into.decisions.note(0)(LimitDetails(1000.0 + flush, 4 + flush, 5 + flush, "more", 12.5))
            into.tick(t=flush * 0.5, limit=4.0, pulled=flush * 20, cpu=flush * 0.01, rss=7e7)
            into.flush()
        end(into)
    write_facts(CaseFacts("sync", exit_code=0, server_seen=268, wall_s=12.0), directory)
    plan(directory, plan_case(), slo="p95<1s")
    assert summarize_run(directory).verdict.status == "valid"
    return directory


def summarized(directory: Path) -> RunResult | str:
    try:
        return summarize_run(directory)
    except UsageError as error:
        return str(error)


@pytest.mark.no_cover
def test_a_flipped_bit_is_harmless_or_named(whole: Path, tmp_path: Path) -> None:
    """Anywhere in any file that a report is made of: the same figures, or a verdict that names the file."""
    right = summarize_run(whole)
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    files = sorted(path for path in run.rglob("*") if path.is_file())
    rng, outcomes = Random(20260801), dict[str, int]()
    for number in range(FLIPS):
        path = files[number % len(files)]
        before = path.read_bytes()
        bit = rng.randrange(8 * len(before))
        after = bytearray(before)
        after[bit // 8] ^= 1 << bit % 8
        path.write_bytes(after)
        found = summarized(run)
        outcomes[_judged(found, right, path.name)] = outcomes.get(_judged(found, right, path.name), 0) + 1
        path.write_bytes(before)
    assert summarize_run(run) == right
    assert outcomes.pop("wrong", 0) == 0
    assert outcomes["named"] > 0.9 * FLIPS


def _judged(found: RunResult | str, right: RunResult, name: str) -> str:
    if isinstance(found, str):
        return "named" if name in found else "wrong"
    if any(reason.code == "damaged" and name in reason.text for reason in found.verdict.reasons):
        return "named" if found.verdict.status == "invalid" else "wrong"
    return "harmless" if found == right else "flagged" if found.verdict.status != "valid" else "wrong"


@pytest.mark.parametrize("kind", ["requests", "attempts", "timeline"])
@pytest.mark.parametrize("cut", ["last frame", "first frame", "everything"])
def test_frames_that_are_missing_are_damage_where_the_process_ended(
    whole: Path, tmp_path: Path, kind: str, cut: str
) -> None:
    """Cut between two frames nothing is torn: the process's own count of its rows tells."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    path = getattr(find(run)["sync"][0][1], kind)
    data = path.read_bytes()
    start = data.index(b"\x8fPLF")
    second = data.index(b"\x8fPLF", start + 4)
    last = data.rindex(b"\x8fPLF")
    path.write_bytes({"last frame": data[:last], "first frame": data[:start] + data[second:], "everything": b""}[cut])
    verdict = summarize_run(run).verdict
    assert verdict.status == "invalid"
    assert any(path.name in reason.text for reason in verdict.reasons if reason.code == "damaged")


def test_an_older_format_is_refused_by_name(whole: Path, tmp_path: Path) -> None:
    """It has no checksums."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    path = find(run)["sync"][0][0].requests
    path.write_bytes(path.read_bytes().replace(MAGIC, OLD_MAGIC, 1))
    with pytest.raises(UsageError, match=r"sync\.r0\.p0\.requests: recorded in format 1"):
        summarize_run(run)
    with pytest.raises(UsageError, match="format 1"):
        read(path)


def test_a_damaged_file_is_not_read(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.requests"
    data = bytearray(find(whole)["sync"][0][0].requests.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        read(path)


def sound_rows(body: bytes | bytearray, row_bytes: int) -> tuple[list[tuple[int, int]], bool]:
    """Begin and end of the rows of all sound frames, and whether all frames are sound."""
    found = list(walk(lambda at, size: body[at : at + size], len(body), row_bytes))
    return [(one.begin, one.end) for one in found if one.rows is not None], all(one.sound for one in found)


def test_after_a_damaged_frame_the_next_ones_are_found() -> None:
    """Its head or its rows: what is sound is still read, and the damage is known."""
    rows = bytes(range(40))
    body = b"".join(frame(rows, 20, place) for place in range(3))
    assert sound_rows(body, 20) == ([(20, 60), (80, 120), (140, 180)], True)
    for at in (60, 70, 85):  # mark and place of the second head, and a row of it
        hurt = bytearray(body)
        hurt[at] ^= 4
        assert sound_rows(hurt, 20) == ([(20, 60), (140, 180)], False)
    assert sound_rows(body[:170], 20) == ([(20, 60), (80, 120)], True)
    assert sound_rows(body[:60] + body[120:], 20) == ([(20, 60), (80, 120)], False)


def test_a_sealed_file_comes_back_and_no_changed_byte_does(tmp_path: Path) -> None:
    path, value = tmp_path / "x.json", End(4, 4, 4, 0, interrupted='a "quoted" reason')
    data = seal(value)
    path.write_bytes(data)
    assert read_sealed(path, End) == value
    assert msgspec.json.decode(data)["crc32"]
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(DamagedError):
            read_sealed(path, End)


def test_a_removed_measured_json_is_named(whole: Path, tmp_path: Path) -> None:
    """It holds the client's ceiling: without it a load that the client limits would pass as valid."""
    copy = tmp_path / "run"
    shutil.copytree(whole, copy)
    (copy / "measured.json").unlink()
    with pytest.raises(UsageError, match=r"measured.json: No such file or directory. It was removed after the run"):
        summarize_run(copy)


@pytest.mark.parametrize("emptied", [False, True])
def test_a_file_that_was_removed_or_emptied_is_noticed(whole: Path, tmp_path: Path, emptied: bool) -> None:
    """Each file of a run, one by one: it is named, or the run is not valid, or its file gives no figure."""
    right = summarize_run(whole)
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    unnoticed = []
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        before = path.read_bytes()
        path.write_bytes(b"") if emptied else path.unlink()
        if _judged(summarized(run), right, path.name) in {"wrong", "harmless"}:
            unnoticed.append(path.name)
        path.write_bytes(before)
    assert unnoticed == []
