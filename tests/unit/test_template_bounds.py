"""A template of a row is bounded in text, numbers and time; what people write every day still works."""

import itertools
import re
import resource
import time
from pathlib import Path

import jinja2
import pytest

from harness.client.errors import ItemError, UsageError
from harness.load import template_bounds
from harness.load.templates import Template, Where

NESTED = (
    "{% set a, b = namespace(x=(1,)), namespace(x=(1,)) %}"
    "{% for k in range(60) %}{% set a.x = (a.x, a.x) %}{% set b.x = (b.x, b.x) %}{% endfor %}"
)


def filled(tmp_path: Path, text: str, **row: object) -> str:
    (tmp_path / "t.j2").write_text(text, encoding="utf-8")
    made = dict(row)
    Template(str(tmp_path / "t.j2")).fill(made)
    return str(made["prompt"])


@pytest.mark.parametrize(
    "text",
    [
        '{{ "a" * 10 ** 9 }}',
        "{{ 10 ** (10 ** 6) }}",
        "{{ (2 ** 4000) * (2 ** 4000) }}",
        '{{ "%0999999999d" % 1 }}',
        '{{ "%*d" % (10 ** 9, 1) }}',
        '{{ "%0999999999d" | format(1) }}',
        '{{ "a" | center(10 ** 9) }}',
        '{{ "a".center(10 ** 9) }}',
        '{{ "{:>999999999}".format(1) }}',
        '{{ ("a" * 100000) | replace("a", "b" * 1000) }}',
        '{{ "a" | indent(width=10 ** 9) }}',
        '{{ ("a\\n" * 2000000) | indent(9999) | length }}',
        '{{ ("a\\n" * 20) | indent("b" * 1000000) | length }}',
        '{{ ("a" * 5000000) | wordwrap(1) | length }}',
        '{{ ("<" * 5000000) | striptags | length }}',
        "{{ (range(99999) | list) | tojson(indent=5000) | length }}",
        "{{ ([[1] * 100000] * 8000000) | tojson | length }}",
        "{% for k in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
        "{% set n = namespace(t='ab') %}{% for k in range(60) %}{% set n.t = n.t + n.t %}{% endfor %}",
        "{% set n = namespace(t='ab') %}{% for k in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}",
        "{% set n = namespace(t=[1]) %}{% for k in range(60) %}{% set n.t = n.t + n.t %}{% endfor %}",
        "{% set t %}{% for k in range(99999) %}{{ 'a' * 1000 }}{% endfor %}{% endset %}",
        "{% set t %}{% for k in range(99999) %}" + "a" * 1000 + "{% endfor %}{% endset %}",
        "{{ (['a' * 1000000] * 1000) | join(',') }}",
        "{{ ','.join(['a' * 1000000] * 1000) }}",
        "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
        "{{ ('a' * 100000).translate({97: 'b' * 100000}) }}",
        "{{ [1] | batch(10 ** 9, 0) | list }}",
        "{{ [1] | slice(10 ** 9) | list }}",
        "{{ [1] | tojson(indent=10 ** 9) }}",
        "{{ 1.5 | round(10 ** 9, 'ceil') }}",
        # Lists in lists, whose text is much longer than they are.
        "{{ [[0] * 100000] * 100000 }}",
        "{{ [[0] * 100000] * 100000 ~ '' }}",
        "{{ ([[0] * 100000] * 100000) | string }}",
        "{{ ([[0] * 100000] * 100000) | string | length }}",
        "{{ '%s' % ([[[0] * 100000] * 100000],) }}",
        "{{ '%(a)s' * 1000 % {'a': 'b' * 100000} }}",
        "{{ ([[0] * 100000] * 100000) | upper | length }}",
        "{{ [[[0] * 100000] * 100000] | join | length }}",
        "{{ ([[0] * 100000] * 100000) | sort | length }}",
        "{{ {'a': [[0] * 100000] * 100000}.items() }}",
        # Lists that hold the one before twice: to compare, hash or sort them takes for ever.
        NESTED + "{{ a.x == b.x }}",
        NESTED + "{{ a.x in [b.x] }}",
        NESTED + "{{ [a.x] == [b.x] }}",
        NESTED + "{{ a.x is eq b.x }}",
        NESTED + "{{ [a.x, b.x] | sort }}",
        NESTED + "{{ [a.x, b.x] | max }}",
        NESTED + "{{ ([a.x, b.x] | select('eq', b.x) | list) | length }}",
        NESTED + "{{ {a.x: 1} }}",
        NESTED + "{{ {}.get(a.x) }}",
        NESTED + "{{ {'c': 1}[a.x] }}",
        # Many values, none of which is large.
        "{% set n = namespace(t=0) %}{% for k in range(99999) %}{% set n.t = [n.t, [0] * 99999] %}{% endfor %}",
        "{% set n = namespace(t=0) %}{% for k in range(99999) %}{% set n.t = [n.t, 'a' * 99999 ~ k] %}{% endfor %}",
        "{% set n = namespace(t=0) %}{% for k in range(99999) %}{% set n.t = [n.t, range(99999) | list] %}{% endfor %}",
        "{% set n = namespace(t=0) %}{% for k in range(99999) %}{% set n.t = [n.t, dict(a='b' * 9999)] %}{% endfor %}",
        "{{ ('a,' * 4000000).split(',') | length }}",
        "{{ ('a ' * 4000000) | wordcount }}",
        "{{ ('a' * 8000000) | list | length }}",
        "{{ ('a' * 8000000) | batch(1) | list | length }}",
        "{{ ('a' * 8000000) | map('upper') | list | length }}",
        "{{ ([[1]] * 100000) | sum(start=[]) | length }}",
    ],
)
def test_a_text_or_number_without_end_is_a_bad_row(tmp_path: Path, text: str) -> None:
    with pytest.raises(ItemError, match=r"more than|above|unsafe|sum: adds numbers"):
        filled(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ '' }}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% set c = a * b %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) if a % 2 %}{% for b in range(99999) if b > a + 99999 %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    ],
)
def test_a_template_that_takes_too_long_ends(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it writes or not."""
    monkeypatch.setattr(template_bounds, "TIME_MAX_S", 0.05)
    with pytest.raises(ItemError, match=r"did not end within 50 ms"):
        filled(tmp_path, text)


@pytest.mark.no_cover
def test_each_row_has_its_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_bounds, "TIME_MAX_S", 2.0)
    (tmp_path / "t.j2").write_text("{% for k in range(100000) %}{% endfor %}{{ name }}")
    template, began_s = Template(str(tmp_path / "t.j2")), time.monotonic()
    for number in itertools.takewhile(lambda _: time.monotonic() < began_s + 2.5, itertools.count()):
        row = {"name": str(number)}
        template.fill(row)
        assert row["prompt"] == str(number)


@pytest.mark.parametrize(
    "condition", ['"a" * n > ""', '"a" ~ [[0] * 99999] * n', "[[0] * 99999] * n == 1", "[[[0] * 99999] * n] is eq 1"]
)
def test_a_condition_is_bounded_too(condition: str) -> None:
    with pytest.raises(ItemError, match="more than"):
        Where(condition).holds({"n": 99_999} if "[" in condition else {"n": 10**10})


def test_the_memory_of_a_row_is_bounded(tmp_path: Path) -> None:
    """Whatever it keeps: 256 MiB of values, counted roughly, of a template that would keep 80 GB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    keeps = "{% set n = namespace(t=0) %}{% for k in range(99999) %}{% set n.t = [n.t, [k] * 99999] %}{% endfor %}"
    with pytest.raises(ItemError, match="it makes values of more than 268435456 bytes"):
        filled(tmp_path, keeps)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1024 * 1024


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ [1, 2] | map('string') }}", "a generator has no text; `| list` or `| join(', ')`"),
        ("{{ namespace(a=1) }}", "a namespace has no text; write one of its values"),
    ],
)
def test_a_value_without_a_text_is_a_bad_row(tmp_path: Path, text: str, said: str) -> None:
    """jinja2 would send `<generator object ...>` to the model."""
    with pytest.raises(ItemError, match=re.escape(said)):
        filled(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{ name | upper }}: {{ price * 2 }} ({{ '%.2f' % price }})", "TEA: 5.0 (2.50)"),
        ("{{ name | center(9) }}|{{ '%s-%03d' | format(name, 7) }}", "   tea   |tea-007"),
        ("{{ name.replace('t', 's') }} {{ '-' * 5 }} {{ 7 % 4 }} {{ 2 ** 10 }}", "sea ----- 3 1024"),
        ("{% for k in [1, 2, 3] %}{{ k }},{% endfor %}{{ name | truncate(20000) }}", "1,2,3,tea"),
        (
            "{% for k in 'abc' %}{{ loop.index }}/{{ loop.length }}{{ k ~ '-' ~ name if not loop.last }} {% endfor %}",
            "1/3a-tea 2/3b-tea 3/3 ",
        ),
        ("{% for a in [[1, [2]], [3]] recursive %}{{ a if a is number else loop(a) }}{% endfor %}", "123"),
        ("{{ [1, 2] | join(', ') }}{{ ['a', name] | join(d='+') }}{{ '/'.join(['b', 'c']) }}", "1, 2a+teab/c"),
        ("{% macro hi(who) %}Hi {{ who }}!{% endmacro %}{{ hi(name) }}{% set x %}a{{ name }}{% endset %}{{ x }}", None),
        ("{{ {'a': [1, 'b']} }} {{ (1, 2) }} {{ [name] * 2 }} {{ 1 < 2 <= 3 }} {{ name in ['tea', 'oil'] }}", None),
        ("{{ [3, 1] | sort | first }} {{ ['a', 'b'] | map('upper') | join }} {{ [1, 2] | sum(start=5) }}", None),
        ("{{ {'a': 1, 2: 'b'}.items() | list }} {{ '%(a)s-%(a)s' % {'a': name} }} {{ name | default(20000) }}", None),
        ("{{ name.split('e') }} {{ name | list }} {{ (1, 2) == (1, 2) }} {{ [1, 2][0] }} {{ {'x': 5}['x'] }}", None),
        (
            "{{ [{'k': 1}, {'k': 2}] | groupby('k') | length }} {{ [1, [2]] | tojson }} {{ [1, 1] | unique | list }}",
            None,
        ),
        (
            "{% for a, b in {'x': 1} | dictsort %}{{ a }}={{ b }}{% endfor %} {{ [1, 2] is iterable }} {{ 5 is odd }}",
            None,
        ),
        ("{% set (a, b) = (1, 2) %}{{ a + b }} {{ not none_given is defined }} {{ ['x', ('y', ['z'])] }}", None),
        ("{% for k in [] %}{{ k }}{% else %}nothing{% endfor %}{{ [1, 2, 3] | batch(2) | list }}", None),
    ],
)
def test_ordinary_templates_are_as_before(tmp_path: Path, text: str, made: str | None) -> None:
    """None: what plain jinja2 makes."""
    made = jinja2.Template(text).render(name="tea", price=2.5) if made is None else made
    assert filled(tmp_path, text, name="tea", price=2.5) == made


@pytest.mark.parametrize("text", ["{% include '/etc/passwd' %}", "{% import name as x %}", "{% extends 'a.j2' %}"])
def test_a_template_that_names_another_file_is_refused_at_once(tmp_path: Path, text: str) -> None:
    """Not at the first row, with jinja2's word on loaders."""
    with pytest.raises(UsageError, match=r"t\.j2, line 1: it reaches no other file"):
        filled(tmp_path, text)
