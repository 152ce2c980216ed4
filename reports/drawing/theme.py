"""The colours of a report. A figure is drawn once; its SVG refers to roles (`var(--c-blue)`) that the page defines.

Rules of this file
  1. Data colours follow Okabe and Ito (2008) and are distinguishable with any common colour blindness. Charts also
     use hatches, markers or line styles.
  2. Each role of a theme has a unique value, by which the role is found in the SVG.
"""

from __future__ import annotations

import dataclasses
import re


@dataclasses.dataclass(frozen=True, slots=True)
class Theme:
    """Every colour a chart may use, by role. Values are lower-case `#rrggbb`."""

    surface: str
    ink: str
    muted: str
    line: str
    grid: str
    blue: str
    orange: str
    green: str
    vermillion: str
    purple: str
    sky: str
    yellow: str
    grey: str

    def __post_init__(self) -> None:
        values = list(self.roles().values())
        for value in values:
            if not re.fullmatch(r"#[0-9a-f]{6}", value):
                raise ValueError(f"theme colour {value!r} is not a lower-case #rrggbb")
        if len(set(values)) != len(values):
            raise ValueError("two roles of a theme share one colour")

    def roles(self) -> dict[str, str]:
        """The colours by role."""
        return dataclasses.asdict(self)

    def css(self) -> str:
        """The custom properties of this theme."""
        return " ".join(f"--c-{role}: {value};" for role, value in self.roles().items())


LIGHT = Theme(
    surface="#ffffff",
    ink="#1c2128",
    muted="#57606a",
    line="#8c959f",
    grid="#dfe3e8",
    blue="#0072b2",
    orange="#e69f00",
    green="#009e73",
    vermillion="#d55e00",
    purple="#cc79a7",
    sky="#56b4e9",
    yellow="#f0e442",
    grey="#afb8c1",
)
DARK = Theme(
    surface="#14181d",
    ink="#e8ecf0",
    muted="#a3adb8",
    line="#6b7580",
    grid="#2c333b",
    blue="#3d9bdc",
    orange="#e8a91c",
    green="#1fb58a",
    vermillion="#f0783a",
    purple="#d68fb7",
    sky="#8fd0f5",
    yellow="#f2e75c",
    grey="#59636e",
)


def with_roles(svg: str, theme: Theme) -> str:
    """Replace the colours of `theme` in an SVG by the page's custom properties."""
    roles = {value: role for role, value in theme.roles().items()}
    return re.sub(
        r"#[0-9a-f]{6}\b", lambda found: f"var(--c-{roles[found[0]]})" if found[0] in roles else found[0], svg
    )
