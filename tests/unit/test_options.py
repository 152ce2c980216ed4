"""Options declared at the fields of dataclasses, as argparse and click read them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from harness.base.options import add_options, filled, option, options
from harness.base.quantity import duration_s
from harness.cli.command import options_of
from harness.cli.main import cli
from mock_server.main import OPTIONS as MOCK
from model_server.main import OPTIONS as MODEL


@dataclass(frozen=True)
class Some:
    """One option of each form."""

    port: int = option(8000, "Port to bind.", least=0, most=65535)
    wait_s: float = option(1.5, "Seconds to wait.", kind=duration_s, least=0)
    file: Path | None = option(None, "File to write.", kind=Path, metavar="FILE")
    quick: bool = option(False, "Do it quickly.")
    model: tuple[str, ...] = option((), "Model; repeatable.")
    kind: str = option("a", "One of two: 100% of them.", choices=("a", "b"))
    shape: str | None = option(None, "Shape, or any.", bare="")
    other: str = "not an option"


LINES: list[tuple[list[str], Some]] = [
    ([], Some()),
    (["--port", "0", "--wait", "2s"], Some(port=0, wait_s=2.0)),
    (["--file", "x", "--quick"], Some(file=Path("x"), quick=True)),
    (["--model", "m", "--model", "n"], Some(model=("m", "n"))),
    (["--kind", "b", "--shape"], Some(kind="b", shape="")),
    (["--shape", "tiny"], Some(shape="tiny")),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_argparse_and_click_fill_it_alike(line: list[str], expected: Some) -> None:
    """The same line gives the same dataclass."""
    parser = argparse.ArgumentParser()
    add_options(parser, Some)
    assert filled(Some, vars(parser.parse_args(line))) == expected
    seen: list[dict[str, Any]] = []

    @click.command()
    @options_of(Some)
    def command(**values: Any) -> None:
        seen.append(values)

    result = CliRunner().invoke(command, line)
    assert result.exit_code == 0, result.output
    assert filled(Some, seen[0]) == expected
    assert "not an option" not in parser.format_help()


@pytest.mark.parametrize("line", [["--port", "-1"], ["--wait", "-1"], ["--kind", "c"], ["--port", "x"]])
def test_click_refuses_what_the_field_does_not_allow(line: list[str]) -> None:
    """With exit code 2 and the option's name."""

    @click.command()
    @options_of(Some)
    def command(**values: Any) -> None:
        raise AssertionError(values)

    result = CliRunner().invoke(command, line)
    assert result.exit_code == 2
    assert line[0] in result.output


@pytest.mark.parametrize("declared", [MOCK, MODEL])
def test_no_two_options_of_a_server_share_a_name(declared: tuple[type[Any], ...]) -> None:
    """Neither flag nor field, since the values of all are handed over in one mapping."""
    every = [one for cls in declared for one in options(cls)]
    assert len({one.flag for one in every}) == len({one.field for one in every}) == len(every)


@dataclass(frozen=True)
class Whole:
    """Settings with a part that has options of its own."""

    name: str = option("a", "Name.")
    part: Some = field(default_factory=Some)
    counts: dict[str, int] = field(default_factory=dict)


def test_a_part_with_options_is_filled_too() -> None:
    """From the same values, unless it is given; other fields have their defaults."""
    assert filled(Whole, {"name": "b", "port": 1}) == Whole("b", Some(port=1))
    assert filled(Whole, {"port": 1}, part=Some(quick=True)) == Whole(part=Some(quick=True))


def test_defaults_and_names_can_be_replaced() -> None:
    """As `paceline serve` does with the port and the profile."""
    parser = argparse.ArgumentParser()
    add_options(parser, Some, port=1)
    assert parser.parse_args([]).port == 1

    @click.command()
    @options_of(Some, names={"port": ("--at", "-a")}, defaults={"port": 2})
    def command(**values: Any) -> None:
        click.echo(values["port"])

    assert CliRunner().invoke(command, []).output == "2\n"
    assert CliRunner().invoke(command, ["-a", "3"]).output == "3\n"
    assert {one.name for one in fields(Some)} > {one.field for one in options(Some)}


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("sweep", ["The one strategy of the sweep", "--repeats N ", "judged at each level"]),
        ("gate", ["repeat to judge several", "check of the gate"]),
        ("compare", ["repeat to compare several", "--repeats N|auto", "exit code 1 if one fails"]),
    ],
)
def test_the_help_of_a_shared_option_is_true_for_each_command(command: str, texts: list[str]) -> None:
    """A sweep takes one strategy and a number of repeats; a gate judges."""
    said = " ".join(CliRunner().invoke(cli, [command, "--help"]).output.split())
    assert [text for text in texts if text not in f"{said} "] == []
