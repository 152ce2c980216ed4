"""Profiles: the shipped ones load, and mistakes are reported with key, value and range."""

from __future__ import annotations

from pathlib import Path

import pytest

from mock_server import profiles
from mock_server.growth import Table
from mock_server.jitter import Empirical
from mock_server.profile import Change, Limits, Profile, Service, scaled
from mock_server.profiles import ProfileError, load
from mock_server.toml_settings import reference, reference_table


def write(tmp_path: Path, text: str, name: str = "mine.toml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_promised_profiles_are_shipped_and_say_what_they_stand_for() -> None:
    promised = {"constant-120ms", "demo", "fill-mask", "flaky", "llm-annotation", "null", "rate-limited"}
    promised |= {"structbert-article", "zero-shot"}
    assert promised <= set(profiles.names())
    for name in profiles.names():
        assert profiles.load(name).name == name
        assert len(profiles.summary(name)) > 30


def test_the_article_profile_holds_the_articles_figures_and_demo_is_six_times_as_fast() -> None:
    article = load("structbert-article").service.growth
    assert [round(article.apply(0, n), 2) for n in (1, 50, 1000)] == [0.12, 1.25, 15.0]
    demo = load("demo")
    assert demo.speed == 6
    assert isinstance(demo.service.growth, Table)
    assert scaled(demo, demo.speed).service.growth.apply(0, 50) == pytest.approx(1.25 / 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[service]\nbase_s = -1", r"service.base_s = -1: expected .*allowed: >= 0 and <= 86400"),
        ("[service]\nbase_s = 'x'", r"service.base_s = 'x': expected `?float"),
        ("[service]\nbas_s = 1", r"unknown key service.bas_s; did you mean base_s"),
        ("[capacitty]\nworkers = 1", r"unknown key capacitty; did you mean capacity"),
        ("[capacity]\nworkers = 1.5", r"capacity.workers = 1.5: expected int.*allowed: >= 0 and <= 1000000"),
        ("[limits]\naction = 'hide'", r"limits.action = 'hide': invalid enum value 'hide'; allowed: ignore, refuse"),
        ("[service.jitter]\nkind = 'uniform'", r"service.jitter.kind = 'uniform': invalid value 'uniform'"),
        ("[service.jitter]\nkind = 'gamma'\ncv = 0", r"service.jitter.cv = 0: expected float > 0.0; allowed: > 0"),
        ("[service.growth]\nkind = 'linear'", r"service.growth.slope: is required"),
        ("[service.growth]\nkind = 'table'\npoints = [[5, 1], [1, 2]]", r"service.growth = .*rising numbers"),
        ("[service.growth]\nkind = 'table'\npoints = [[1, -1]]", r"service.growth = .*must be >= 0"),
        ("[service.jitter]\nkind = 'empirical'", r"needs factors"),
        ("[service.jitter]\nkind = 'empirical'\nfactors = [1, 0]", r"every factor must be a number > 0"),
        ("[service.jitter]\nkind = 'empirical'\nfile = 'no.txt'", r"service.jitter.file = 'no.txt'"),
        ("[service.jitter]\nkind = 'empirical'\nfactors = [1, nan]", r"every factor must be a number > 0 .*got nan"),
        ("[service.jitter]\nkind = 'empirical'\nfactors = [1e308, 1e308]", r"every factor .*<= 1e\+15; got 1e\+308"),
        (
            "[service.jitter]\nkind = 'empirical'\nfile = '/dev/zero'",
            r"service.jitter.file = '/dev/zero': .*has more than",
        ),
        ("[service.growth]\nkind = 'table'\npoints = [[1, nan]]", r"service.growth = .*points must be >= 0"),
        (
            "[service.growth]\nkind = 'table'\npoints = [[1, 1e999]]",
            r"service.growth = .*points must be .*<= 1,000,000",
        ),
        ("model = " + "[" * 5000, r"mine.toml: lists or tables are nested too deeply"),
        ("[[changes]]\nat_s = 1\nspeed = 0", r"changes\[0\].speed = 0: expected float > 0.0; allowed: > 0"),
        ("speed = 0", r"speed = 0: expected float > 0.0"),
        ("[[faults]]\nkind = 'statos'", r"faults\[0\].kind = 'statos': did you mean status"),
        ("[[faults]]\nprobability = 1", r"faults\[0\].kind = None: allowed: broken-stream"),
        ("[[faults]]\nkind = 'status'\nstatus = 200", r"faults\[0\]: status = 200: expected int >= 400"),
        ("[[faults]]\nkind = 'status'\nprobability = 2", r"probability = 2: .*allowed: >= 0 and <= 1"),
        ("[[faults]]\nkind = 'stall'\nstart_s = 5\nend_s = 4", r"end_s = 4: must be > start_s = 5"),
        ("[[faults]]\nkind = 'stall'\nend_s = 4\nperiod_s = 3", r"period_s = 3: must be >= end_s"),
        ("[[faults]]\nkind = 'stall'", r"end_s: is required"),
        ("[[pauses]]\nstart_s = 5\nend_s = 4", r"pauses\[0\] = .*end_s = 4: must be > start_s = 5"),
        ("[[pauses]]\nend_s = 4\nperiod_s = 4", r"period_s = 4: must be > end_s - start_s, or the server never works"),
        (
            "[[pauses]]\nend_s = 1\nperiod_s = 2\n[[pauses]]\nstart_s = 1\nend_s = 2\nperiod_s = 2",
            r"pauses: together they take 100 % of the time; must be under 100 %",
        ),
        ("[service]\ngrowth_by = 'now'", r"service.growth_by = 'now': .*allowed: arrival, running"),
        (
            "[service]\ngrowth_by = 'running'\ngrowth = {kind = 'table', points = [[1, 1]]}",
            r"growth_by = 'running': needs a growth factor",
        ),
        ("[limits]\ntell_wait = 1", r"limits.tell_wait = 1: expected bool"),
        ("name = 'x'", r"unknown key name"),
        ("not toml", r"not valid TOML"),
        ("extends = 3", r"extends = 3: expected the name or path"),
        (
            "extends = 'structbert'",
            r"extends: structbert: no such profile; known: .*\(did you mean structbert-article\?\)",
        ),
        ("extends = 'mine.toml'", r"more than 8 levels deep, or circular"),
    ],
)
def test_a_mistake_is_answered_in_one_line_that_names_key_value_and_range(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ProfileError, match=message) as caught:
        load(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_or_file_is_reported() -> None:
    with pytest.raises(ProfileError, match=r"nul: no such profile; known: constant-120ms, .*did you mean null"):
        load("nul")
    with pytest.raises(ProfileError, match=r"aaa\.toml: File name too long"):
        load("a" * 5000 + ".toml")
    with pytest.raises(ProfileError, match=r"nowhere\.toml: no such profile file"):
        load("nowhere.toml")
    with pytest.raises(
        ProfileError, match=r"zzz: no such profile; known: constant-120ms, .*\(or a path that ends in \.toml\)"
    ):
        load("zzz")


def test_a_profile_extends_another_and_overrides_single_keys(tmp_path: Path) -> None:
    write(tmp_path, "[service]\nbase_s = 1\nper_item_s = 2\n[service.jitter]\nkind = 'gamma'\ncv = 0.7", "base.toml")
    mine = load(write(tmp_path, "extends = 'base.toml'\n[service]\nbase_s = 3\n[service.jitter]\nkind = 'constant'"))
    assert (mine.service.base_s, mine.service.per_item_s) == (3, 2)
    assert type(mine.service.jitter).__name__ == "Constant"
    assert mine.summary == ""


def test_empirical_factors_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "times.txt").write_text("1.0\n3.0\n")
    profile = load(write(tmp_path, "[service.jitter]\nkind = 'empirical'\nfile = 'times.txt'"))
    assert profile.service.jitter == Empirical(factors=(1.0, 3.0))


def test_speed_divides_times_and_multiplies_rates_and_touches_nothing_else() -> None:
    profile = Profile(
        service=Service(base_s=0.6),
        limits=Limits(rate_per_s=10, burst=5, delay_s=1.2),
        changes=(Change(at_s=60, speed=0.5, workers=2),),
    )
    fast = scaled(profile, 6)
    assert fast.service.base_s == pytest.approx(0.1)
    assert (fast.limits.rate_per_s, fast.limits.burst, fast.limits.delay_s) == (60, 5, pytest.approx(0.2))
    assert fast.changes == (Change(at_s=10, speed=0.5, workers=2),)


def test_the_reference_describes_every_key() -> None:
    keys = {key.name for key in reference()}
    assert {"service.base_s", "service.growth.points", "changes[].at_s", "limits.burst", "faults"} <= keys
    assert all(key.meaning for key in reference()), [key for key in reference() if not key.meaning]
    assert "| `service.base_s` | number | >= 0 and <= 86400 | 0 |" in reference_table()
