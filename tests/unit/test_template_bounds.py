"""A template of a row is bounded in text, numbers and time; what people write every day still works."""

from pathlib import Path

import pytest

from harness.client.errors import ItemError
from harness.load import template_bounds
from harness.load.templates import Template, Where


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
        "{% for k in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
    ],
)
def test_a_text_or_number_without_end_is_a_bad_row(tmp_path: Path, text: str) -> None:
    with pytest.raises(ItemError, match=r"more than|above|unsafe"):
        filled(tmp_path, text)


def test_a_loop_that_writes_for_too_long_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_bounds, "TIME_MAX_S", 0.05)
    with pytest.raises(ItemError, match=r"did not end within 0\.05 s"):
        filled(tmp_path, "{% for a in range(99999) %}{% for b in range(99999) %}{{ '' }}{% endfor %}{% endfor %}")


def test_a_condition_is_bounded_too() -> None:
    with pytest.raises(ItemError, match="more than"):
        Where('"a" * n > ""').holds({"n": 10**10})


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{ name | upper }}: {{ price * 2 }} ({{ '%.2f' % price }})", "TEA: 5.0 (2.50)"),
        ("{{ name | center(9) }}|{{ '%s-%03d' | format(name, 7) }}", "   tea   |tea-007"),
        ("{{ name.replace('t', 's') }} {{ '-' * 5 }} {{ 7 % 4 }} {{ 2 ** 10 }}", "sea ----- 3 1024"),
        ("{% for k in [1, 2, 3] %}{{ k }},{% endfor %}{{ name | truncate(20000) }}", "1,2,3,tea"),
    ],
)
def test_ordinary_templates_are_as_before(tmp_path: Path, text: str, made: str) -> None:
    assert filled(tmp_path, text, name="tea", price=2.5) == made
