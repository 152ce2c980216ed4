"""Reports of every kind of result: complete, escaped, readable, and never in the way of the numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from html import escape as html_escape
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from harness.base import units
from harness.cli.show import show
from harness.measure.judge.headline import headline
from harness.measure.result import Bucket, Diagnosis, LayerFigures, Reason, RunResult, SloCheck, Verdict, decode, encode
from reports import charts, labels, page
from reports.charts import latency_over_time, rate_over_time
from reports.drawing import draw, panels, placing, sheet
from reports.drawing.scale import Scale, compact, linear_ticks, log_ticks, scale_for
from reports.drawing.theme import DARK, LIGHT, Theme
from reports.formats import _facts, html, markdown
from reports.wording import target_notes
from tests import report_samples as samples

KINDS: dict[str, Callable[[], RunResult]] = {
    "article": samples.article,
    "stall": samples.stall,
    "failures": samples.failures,
    "llm": samples.llm,
    "partial": samples.partial,
    "zero": samples.zero,
    "empty": samples.empty,
    "hostile": samples.hostile,
    "many": samples.many,
    "mixed": samples.mixed,
    "single": samples.single,
}
MANY_CHARTS = {"many", "mixed", "hostile", "article"}
"""Drawn for seconds, by code that draws the others too."""


@pytest.fixture(scope="module")
def results() -> dict[str, RunResult]:
    """One of each."""
    return {name: make() for name, make in KINDS.items()}


@cache
def drawn(kind: str) -> tuple[draw.Drawing, ...]:
    """The charts of a kind, drawn once for all tests."""
    return tuple(draw.draw_all(KINDS[kind](), png=False))


class Page(HTMLParser):
    """What a browser would fetch or run, and the text that a person reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts = 0
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.open.append(tag)
        self.fetched += [
            value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "data", "action"}
        ]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self.open.append("/" + tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.words.append(data)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.no_cover] * (kind in MANY_CHARTS)) for kind in sorted(KINDS)]
)
def test_every_result_has_a_page_that_needs_nothing_from_outside(kind: str, results: dict[str, RunResult]) -> None:
    """No script, nothing fetched; headline and verdict come first; every case is named."""
    result = results[kind]
    text = html.render(result, drawn(kind))
    found = Page(text)
    assert found.scripts == 0
    assert "default-src 'none'" in text
    assert all(target.startswith("#") for target in found.fetched)
    words = " ".join(" ".join(found.words).split())
    assert words.index(" ".join(labels.printable(result.headline).split())[:30]) < words.index("Comparison")
    for name in labels.case_labels(result.cases):
        assert name in words
    assert len(text) < 3_000_000


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_chart_draws_every_result_it_applies_to(kind: str) -> None:
    """None fails; each says its figures in words; colours are roles that the page's theme fills in."""
    for drawing in drawn(kind):
        assert not drawing.error, (drawing.name, drawing.error)
        assert drawing.words
        assert "var(--c-" in drawing.svg
        assert not set(re.findall(r"#[0-9a-f]{6}", drawing.svg)) & set(LIGHT.roles().values())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_result_has_a_summary_for_ci(kind: str, results: dict[str, RunResult]) -> None:
    """Verdict first, no raw HTML but our own details element, small enough, one row for each case in both tables."""
    result = results[kind]
    text = markdown.render(result, drawn(kind))
    assert len(text) <= markdown.SIZE_MAX + 100
    assert text.startswith("# ")
    assert result.verdict.status in text.splitlines()[0].lower()
    outside = re.sub(r"(?s)```.*?```", "", text)  # a code block shows what stands in it
    assert "<script" not in outside
    assert set(re.findall(r"<(/?[a-z]+)", outside)) <= {"details", "summary", "/summary", "/details"}
    tables = [re.findall(r"(?m)^\| .*$", part) for part in text.split("\n\n") if part.startswith("| ")]
    assert [len(rows) for rows in tables[:2]] == [1 + len(result.cases)] * (2 if result.cases else 1)
    assert all(len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1 for rows in tables)


def test_the_roles_are_the_same_in_the_dark(results: dict[str, RunResult]) -> None:
    """One drawing serves both themes."""
    dark = draw.draw_all(results["single"], png=False, theme=DARK)
    for one, other in zip(dark, drawn("single"), strict=True):
        assert re.findall(r"var\(--c-\w+\)", one.svg) == re.findall(r"var\(--c-\w+\)", other.svg)


def test_what_came_from_outside_is_escaped(results: dict[str, RunResult]) -> None:
    """A strategy, a target or a warning named like a script stays text."""
    text = html.render(results["hostile"], drawn("hostile"))
    assert samples.HOSTILE not in text
    assert "&lt;script&gt;" in text


def test_a_partial_result_says_so_everywhere(results: dict[str, RunResult]) -> None:
    """On the page and in the summary."""
    for text in (html.render(results["partial"]), markdown.render(results["partial"])):
        assert "partial" in text.lower()


def test_mixed_loads_are_not_ranked_without_a_word(results: dict[str, RunResult]) -> None:
    """Backlog and arrivals stand in one result: the reader is warned."""
    assert labels.NOT_COMPARABLE in html.render(results["mixed"])
    assert labels.NOT_COMPARABLE in markdown.render(results["mixed"])


def test_a_percentile_with_too_few_requests_is_no_number(results: dict[str, RunResult]) -> None:
    """It says so instead."""
    few = samples.article(items=40)
    assert labels.TOO_SMALL in html.render(few)
    assert labels.TOO_SMALL in markdown.render(few)


def test_a_chart_that_fails_keeps_no_report_from_being_written(
    results: dict[str, RunResult], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The page says so; the others are there."""
    chart = charts.charts()["outcomes"]

    def fail(*_: object) -> None:
        raise ZeroDivisionError("no figure today")

    monkeypatch.setattr(chart, "figure", fail)
    written = page.write(results["single"], tmp_path)
    assert "no figure today" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert tmp_path / "charts" / "throughput.png" in written
    assert tmp_path / "charts" / "outcomes.png" not in written


def test_a_report_is_written_whole(results: dict[str, RunResult], tmp_path: Path) -> None:
    """Formats and pictures, and no half files; an unknown format is refused."""
    written = page.write(results["single"], tmp_path)
    assert {path.name for path in written} >= {"report.html", "report.md", "throughput.png"}
    assert all(path.stat().st_size > 500 for path in written)
    assert (tmp_path / "charts" / "throughput.png").read_bytes().startswith(b"\x89PNG")
    assert page.write(results["single"], tmp_path, ["markdown"], charts=False) == [tmp_path / "report.md"]
    with pytest.raises(ValueError, match="unknown format 'pdf': known are bencher, csv, "):
        page.write(results["single"], tmp_path, ["pdf"])


def test_a_summary_that_is_too_long_is_cut_at_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says where the rest is."""
    monkeypatch.setattr(markdown, "SIZE_MAX", 1000)
    text = markdown.render(samples.many())
    assert len(text) < 1100
    assert text.endswith("(cut: see report.html)\n")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (0.0, "0 ms"),
        (85e-5, "850 µs"),
        (0.12, "120 ms"),
        (8.3, "8.3 s"),
        (725.0, "12 min 5 s"),
        (720.0, "12 min"),
        (40_000.0, "11.1 h"),
    ],
)
def test_times_in_words(value: float | None, words: str) -> None:
    """Three figures and a unit that fits."""
    assert units.seconds(value) == words


def test_other_quantities_in_words() -> None:
    """Shares that are not nil are never 0 %, memory has its unit, levels and rates three figures."""
    assert [units.share(value) for value in (None, 0, 0.0001, 0.5, 0.9999, 1)] == [
        "–", "0 %", "< 0.1 %", "50 %", "> 99.9 %", "100 %",
    ]  # fmt: skip
    assert [units.megabytes(value) for value in (None, 81.26, 1500.0)] == ["–", "81.3 MB", "1.5 GB"]
    assert units.rate(None) == units.count(None) == units.level(None) == units.microseconds(None) == "–"
    assert units.significant(float("nan")) == "–"
    assert labels.interval(
        msgspec.convert({"low": 0.1, "high": 0.2}, type=type(samples.single().cases[0].latency_s.p50))
    )
    assert units.listing(["a"]) == "a"


def test_settings_in_words() -> None:
    """Every JSON value on one line."""
    words = labels.settings_words({"a": True, "b": None, "c": 1.5, "d": {"x": 1}, "e": [1, "y\n"]})
    assert words == "a=yes, b=none, c=1.5, d=x=1, e=1, y"
    assert labels.elide("x" * 50, 11) == "xxxxxx…xxxx"


def test_ticks_are_few_round_and_inside() -> None:
    """Linear and logarithmic, from a fraction to many decades."""
    assert linear_ticks(0, 100, 6) == [0, 20, 40, 60, 80, 100]
    assert log_ticks(0.9, 110, 8) == [1, 2, 5, 10, 20, 50, 100]
    assert len(log_ticks(1e-6, 1e6, 5)) <= 5
    assert log_ticks(2.1, 2.4, 5)
    assert [compact(value) for value in (250, 20_000, 1.5e6, 3e9)] == ["250", "20k", "1.5M", "3G"]
    assert scale_for([]) == Scale(0.0, 1.0, log=False)
    assert scale_for([1, 100]).log
    assert scale_for([1, 10]).place(10.8) == pytest.approx(1.0)
    assert Scale(1.0, 100.0, log=True).place(10.0) == pytest.approx(0.5)


def test_labels_keep_clear_of_each_other() -> None:
    """A dozen points in a heap: no two labels overlap, all are inside, or left out."""
    frame = placing.Box(0, 0, 6, 3)
    points = [(3 + 0.05 * number, 1.5 + 0.03 * number) for number in range(12)]
    found = [box for box in placing.place(points, [(1.0, 0.16)] * 12, frame) if box is not None]
    assert len(found) >= 10
    assert all(box.inside(frame) for box in found)
    assert not any(a.overlaps(b) for at, a in enumerate(found) for b in found[at + 1 :])


def test_text_is_wrapped_and_elided_to_its_width() -> None:
    """Measured, not guessed."""
    long = "queue-stream:concurrency=50,queue_size=100,ordered=True,window=400 " * 3
    lines = sheet.wrapped(long, 2.0, 3)
    assert len(lines) == 3
    assert all(sheet.text_width(line) <= 2.05 for line in lines)
    assert "…" in lines[-1]
    assert sheet.fitted("short", 2.0) == "short"


def test_a_theme_refuses_colours_it_could_not_find_again() -> None:
    """Lower-case hex, no two alike."""
    roles = LIGHT.roles()
    with pytest.raises(ValueError, match="not a lower-case"):
        Theme(**{**roles, "ink": "red"})
    with pytest.raises(ValueError, match="share one colour"):
        Theme(**{**roles, "ink": roles["blue"]})


def test_a_sparkline_shows_the_shape(results: dict[str, RunResult]) -> None:
    """At most forty signs; nothing without a timeline."""
    case = results["article"].cases[0]
    assert 0 < len(_facts.sparkline(case)) <= 40
    assert _facts.sparkline(msgspec.structs.replace(case, timeline=[])) == ""


def test_names_that_begin_alike_are_distinguished(results: dict[str, RunResult]) -> None:
    """Not by a number but by the setting that differs; equal names get one."""
    names = labels.case_labels(results["many"].cases)
    assert len(set(names)) == 12
    assert all(f"={10 * (at + 1)}…" in name for at, name in enumerate(names))
    same = [results["single"].cases[0]] * 2
    assert [name[-3:] for name in labels.case_labels(same)] == [" #1", " #2"]


def test_leaders_cross_no_label_and_labels_are_nobody_elses() -> None:
    """Around a dense column of points every label is nearest to its own, or tied to it by a line."""
    points = [(3.0, 0.4 + 0.14 * number) for number in range(10)]
    found = placing.place(points, [(1.5, 0.16)] * 10, placing.Box(0, 0, 6, 3))
    assert all(found)
    for at, (point, box) in enumerate(zip(points, found, strict=True)):
        assert box is not None
        others = [other for number, other in enumerate(found) if other is not None and number != at]
        line = placing.leader(point, box)
        assert not any(piece.overlaps(other) for piece in line for other in others)


def test_text_that_would_turn_the_page_around_is_made_plain(results: dict[str, RunResult]) -> None:
    """Direction overrides and control characters reach neither format."""
    for text in (html.render(results["hostile"]), markdown.render(results["hostile"])):
        assert "\u202e" not in text
        assert "\x1b" not in text


@pytest.mark.no_cover
def test_a_picture_of_an_earlier_report_does_not_stay(
    results: dict[str, RunResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chart that no longer applies is removed; a stranger's file is left alone."""
    two = {name: chart for name, chart in charts.charts().items() if name in {"throughput", "latency_over_time"}}
    monkeypatch.setattr("reports.drawing.draw.charts", lambda: two)
    page.write(results["stall"], tmp_path)
    (tmp_path / "charts" / "mine.png").write_bytes(b"x")
    assert (tmp_path / "charts" / "latency_over_time.png").exists()
    page.write(results["article"], tmp_path)
    assert not (tmp_path / "charts" / "latency_over_time.png").exists()
    assert (tmp_path / "charts" / "throughput.png").exists()
    assert (tmp_path / "charts" / "mine.png").exists()


def test_the_key_over_time_names_only_the_lines_that_are_drawn(results: dict[str, RunResult]) -> None:
    """With fewer than 100 answers in every slice there is no p99, and none in the key."""
    result = results["stall"]
    case = result.cases[0]
    for p99 in (None, 0.5):
        timeline = [
            msgspec.structs.replace(bucket, latency_p99_s=p99, service_p99_s=None) for bucket in case.timeline or []
        ]
        changed = msgspec.structs.replace(result, cases=[msgspec.structs.replace(case, timeline=timeline)])
        words = {text.get_text() for text in latency_over_time.figure(changed, LIGHT).texts}
        assert {"latency p50", "service time p50"} <= words
        assert ("latency p99" in words) == (p99 is not None)
        assert "service time p99" not in words


def test_a_gap_in_time_stays_a_gap() -> None:
    """A line is not drawn through slices in which nothing was measured."""
    buckets = [Bucket(t_s=float(at), width_s=1.0, latency_p99_s=None if 2 <= at <= 5 else 1.0) for at in range(8)]
    _, values = panels.middles(buckets, lambda bucket: bucket.latency_p99_s)
    assert sum(math.isnan(value) for value in values) == 1
    assert len(panels.thinned(buckets * 50)) <= panels.BUCKETS_MAX


def test_a_failed_slo_is_the_first_thing_that_every_report_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the measurement is valid: terminal, Markdown, page and headline, with value, bound and margin."""
    result = samples.single()
    first, *rest = result.cases
    missed = msgspec.structs.replace(first, slo=[SloCheck("p99<500ms", 0.8, 0.5, False)])
    sound = Verdict("valid")
    result = msgspec.structs.replace(
        result, cases=[missed, *rest], verdict=sound, headline=headline([missed, *rest], sound)
    )
    said = f"{first.name}: p99<500ms FAILS: 800 ms, 300 ms above the bound of 500 ms"
    assert result.headline.startswith("SLO failed: 1 of 1 conditions. ")
    text = markdown.render(result)
    assert text.startswith("# ✖ SLO failed: 1 of 1 conditions")
    assert "above the bound" in text.splitlines()[2]
    page_text = html.render(result)
    assert '<span class="badge invalid">✖ SLO failed: 1 of 1 conditions</span>' in page_text
    h1, below = page_text.split("<h1>")[1].split("</h1>")
    assert h1.startswith("SLO failed: 1 of 1 conditions. ")
    assert html_escape(said) in below.split("<h2>")[0]
    show(result, Path("runs/x"), [])
    first_lines = capsys.readouterr().out.splitlines()[:2]
    assert first_lines == ["SLO failed: 1 of 1 conditions", f"  {said}"]
    show(result, Path("runs/x"), [], brief=True)
    assert capsys.readouterr().out.splitlines()[0] == "verdict: valid, SLO failed"


def test_the_terminal_says_why_a_limit_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    result = samples.single()
    why = "No request was answered, so the limiting factor is unknown."
    for diagnosis, shown in ((Diagnosis("unknown", why), True), (Diagnosis("server", why), False)):
        case = msgspec.structs.replace(result.cases[0], diagnosis=diagnosis)
        show(msgspec.structs.replace(result, cases=[case]), Path("runs/x"), [])
        said = " ".join(capsys.readouterr().out.split())
        assert (f"{case.name}: limited by unknown: {why}" in said) is shown


def test_an_slo_that_holds_is_said_beside_the_headline() -> None:
    """Not only far below, at its case."""
    result = samples.single()
    checks = [SloCheck("p99<500ms", 0.4, 0.5, True), SloCheck("errors<1%", 0.0, 0.01, True)]
    kept = msgspec.structs.replace(result.cases[0], slo=checks)
    others = [msgspec.structs.replace(case, slo=[]) for case in result.cases[1:]]
    result = msgspec.structs.replace(result, cases=[kept, *others])
    assert "<p><strong>SLO holds: all 2 conditions</strong></p>" in html.render(result).split("<h2>")[0]
    assert "**SLO holds: all 2 conditions**" in markdown.render(result).split("| strategy")[0]


def test_what_layers_counted_is_in_every_report(capsys: pytest.CaptureFixture[str]) -> None:
    """In words, with its ratios, and escaped; a fault stands among the reasons of a valid run."""
    result = samples.single()
    counted = LayerFigures(
        "cache", {"hits": 1200, "misses": 300, "waited_s": 0.25}, {"hit_share": 0.8, "false_share": None}, ["it failed"]
    )
    hostile = LayerFigures(f"own:{samples.HOSTILE}", {"a|b <b>": 2.5})
    idle = LayerFigures("deadline", {"expired": 0})
    first = msgspec.structs.replace(result.cases[0], layer_figures=[counted, hostile, idle])
    reason = Reason("layer_fault", f"The layer cache did not do all of its work: {samples.HOSTILE}.", first.name)
    result = msgspec.structs.replace(result, cases=[first], verdict=Verdict("valid", [reason]))
    assert decode(encode(result)) == result
    words = "hits 1,200, misses 300, waited 250 ms, hit share 80 %"
    page_text, text = html.render(result), markdown.render(result)
    assert f"<td>cache</td><td>{words}</td>" in page_text
    assert "<td>a|b &lt;b&gt; 2.5</td>" in page_text
    assert "The layer cache did not do all of its work: &lt;script&gt;" in page_text
    assert f"| cache | {words} |" in text
    assert "| a\\|b " in text
    for said in (page_text, text):
        assert samples.HOSTILE not in said
        assert "expired 0" in said
    show(result, Path("runs/x"), [])
    lines = capsys.readouterr().out
    assert f"{first.name}: layer cache: {words}\n" in lines
    assert "deadline" not in lines


def test_a_result_of_another_schema_version_is_refused() -> None:
    """By name; nothing of it is shown as if it were understood."""
    data = encode(samples.single()).replace(b'"schema_version": 1,', b'"schema_version": 99,')
    with pytest.raises(msgspec.ValidationError, match="schema_version: 99"):
        decode(data)


@pytest.mark.no_cover
def test_a_chart_explains_only_the_lines_that_it_draws(results: dict[str, RunResult]) -> None:
    """A backlog has no line of due items."""
    for kind, found in results.items():
        arrivals = any(case.load.kind != "backlog" for case in found.cases)
        if rate_over_time.applies(found):
            shown = " ".join(text.get_text() for text in rate_over_time.figure(found, LIGHT).texts)
            assert ("Dotted" in shown) is arrivals, kind


def test_the_line_of_due_items_ends_where_some_were_never_sent() -> None:
    """They have no record, so a line that went on would fall to zero, as if nothing was due."""

    def line(not_sent: int, skipped: int = 0) -> list[float]:
        stall = samples.stall()
        counts = msgspec.structs.replace(stall.cases[0].counts, not_sent=not_sent, skipped=skipped)
        case = msgspec.structs.replace(stall.cases[0], counts=counts)
        figure = rate_over_time.figure(msgspec.structs.replace(stall, cases=[case]), LIGHT)
        (found,) = (line for axes in figure.axes for line in axes.lines if line.get_linestyle() == ":")
        return list(np.asarray(found.get_ydata(), dtype=float))

    whole, cut = line(0), line(5)
    assert not np.isnan(whole).any()
    assert line(5, skipped=5) == whole
    begins = int(np.flatnonzero(np.isnan(cut))[0])
    assert cut[:begins] == whole[:begins]
    assert np.isnan(cut[begins:]).all()
    assert begins > 0


def test_a_simulated_server_is_said_to_be_simulated_once() -> None:
    plain = samples.single()
    target = msgspec.structs.replace(plain.cases[0].target, note="simulated in virtual time; times divided by 6")
    case = msgspec.structs.replace(plain.cases[0], target=target)
    result = msgspec.structs.replace(plain, cases=[case], simulated=True)
    assert target_notes(result) == ["times divided by 6"]
    assert markdown.render(result).lower().count("in virtual time") == 1
    bare = msgspec.structs.replace(case, target=msgspec.structs.replace(target, note="simulated in virtual time"))
    assert target_notes(msgspec.structs.replace(result, cases=[bare])) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Run `paceline self-test` again.", "Run <code>paceline self-test</code> again."),
        ("`a` and `b`", "<code>a</code> and <code>b</code>"),
        ("one ` alone <b>", "one ` alone &lt;b&gt;"),
        ("<b>`<i>`</b>", "&lt;b&gt;<code>&lt;i&gt;</code>&lt;/b&gt;"),
        ("``", "``"),
    ],
)
def test_a_command_in_a_sentence_is_shown_as_code_and_nothing_is_left_unescaped(text: str, shown: str) -> None:
    from reports.formats.html import commands

    assert str(commands(text)) == shown
