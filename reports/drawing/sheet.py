"""A figure laid out in inches, without a layout pass and without overlaps for any number of cases.

Rules of this file
  1. Every size is in inches from the top left of the sheet. matplotlib's layout engines are not used, because they
     draw twice and are slow.
  2. Text from outside is never parsed as mathematics, and its width is measured before it is placed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from reports.drawing.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.4
EDGE = 0.12
TEXT = 9.0
SMALL = 8.0
TITLE = 12.0
LINE = 0.155  # height of a line of TEXT
# Rasterised text is up to this factor wider than its outline.
HINTING = 1.03


def settings(theme: Theme) -> dict[str, Any]:
    """The matplotlib settings for drawing and saving figures."""
    return {
        "font.family": _families(),
        "font.size": TEXT,
        "text.parse_math": False,
        "text.color": theme.ink,
        "axes.labelcolor": theme.muted,
        "axes.labelsize": SMALL,
        "axes.edgecolor": theme.line,
        "axes.facecolor": theme.surface,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": False,
        "grid.color": theme.grid,
        "grid.linewidth": 0.7,
        "xtick.color": theme.line,
        "ytick.color": theme.line,
        "xtick.labelcolor": theme.muted,
        "ytick.labelcolor": theme.muted,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "hatch.linewidth": 0.8,
        "figure.facecolor": theme.surface,
        "savefig.facecolor": theme.surface,
        "figure.dpi": 96,
        "svg.fonttype": "path",
        "path.simplify_threshold": 0.4,
    }


@lru_cache(maxsize=1)
def _families() -> list[str]:
    """DejaVu Sans (included in matplotlib), then installed fonts for Chinese, Japanese and Korean."""
    from matplotlib import font_manager

    known = {entry.name for entry in font_manager.fontManager.ttflist}
    wide = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "WenQuanYi Zen Hei", "PingFang SC", "SimHei")
    return ["DejaVu Sans", *(name for name in wide if name in known)]


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = TEXT, weight: str = "normal") -> float:
    """Width of a line of text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=_families(), size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72 * HINTING


def fitted(text: str, width: float, size: float = TEXT, weight: str = "normal") -> str:
    """The text, shortened in the middle to fit `width` inches."""
    if text_width(text, size, weight) <= width:
        return text
    low, high = 1, len(text)
    # Search for the longest text that fits.
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_width(_elided(text, middle), size, weight) <= width else (low, middle - 1)
    return _elided(text, low)


def _elided(text: str, kept: int) -> str:
    """The first two thirds and last third of `kept` characters around an ellipsis."""
    head = (kept * 2 + 2) // 3
    return text[:head] + "…" + text[len(text) - (kept - head) :] if kept > head else text[:head] + "…"


def wrapped(text: str, width: float, lines_max: int = 2, size: float = TEXT) -> list[str]:
    """At most `lines_max` lines of at most `width` inches, broken after punctuation where possible."""
    lines: list[str] = []
    rest = text
    while rest and len(lines) < lines_max - 1 and text_width(rest, size) > width:
        kept = _prefix(rest, width, size, "normal")
        cut = _break(rest, kept)
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*lines, fitted(rest, width, size)] if rest else lines


def _break(text: str, kept: int) -> int:
    """The position of a line break within the first `kept` characters, preferably between settings."""
    for signs in (" ,;:", "=/-_"):
        breaks = [at + 1 for at, sign in enumerate(text[:kept]) if sign in signs]
        if breaks and breaks[-1] > kept // 3:
            return breaks[-1]
    return kept


def _prefix(text: str, width: float, size: float, weight: str) -> int:
    """The number of characters from the start that fit, at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_width(text[:middle], size, weight) <= width else (low, middle - 1)
    return low


class Sheet:
    """A figure with a title and reading instructions. Axes are placed below, in inches from the top."""

    def __init__(self, theme: Theme, title: str, subtitle: str, body: float) -> None:
        from matplotlib.figure import Figure

        notes = wrapped(subtitle, WIDTH - 2 * EDGE, 3, SMALL)
        self.theme = theme
        self.top = 0.42 + 0.15 * len(notes) + 0.1
        self.height = self.top + body
        self.figure: Figure = Figure(figsize=(WIDTH, self.height))
        self.text(EDGE, 0.24, title, size=TITLE, weight="bold")
        for number, line in enumerate(notes):
            self.text(EDGE, 0.46 + 0.15 * number, line, size=SMALL, color=theme.muted)

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        """A line of text, its middle `top` inches below the sheet's top."""
        style.setdefault("va", "center")
        self.figure.text(left / WIDTH, 1 - top / self.height, text, **style)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes whose top left corner lies `top` inches below the title block."""
        bottom = self.height - self.top - top - height
        return self.figure.add_axes((left / WIDTH, bottom / self.height, width / WIDTH, height / self.height))

    def key(self, top: float, entries: list[tuple[str, dict[str, Any]]], left: float = EDGE) -> None:
        """A legend on one or more lines. Each entry has a patch or line (by `marker` or `ls`) and its text."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Rectangle

        x, y = left, self.top + top
        for words, style in entries:
            width = 0.36 + text_width(words, SMALL) + 0.2
            if x + width > WIDTH and x > left:
                x, y = left, y + 0.19
            at = (x / WIDTH, 1 - (y + 0.05) / self.height)
            size = (0.26 / WIDTH, 0.1 / self.height)
            place = {"transform": self.figure.transFigure, "figure": self.figure}
            if "ls" in style or "marker" in style:
                across = [at[0], at[0] + size[0] / 2, at[0] + size[0]]
                middle = [at[1] + size[1] / 2] * 3
                line = Line2D(across, middle, markevery=[1], **{**style, **place})
                self.figure.add_artist(line)
            else:
                self.figure.add_artist(Rectangle(at, *size, **{"linewidth": 0.6, **style, **place}))
            self.text(x + 0.33, y, words, size=SMALL, color=self.theme.muted)
            x += width
