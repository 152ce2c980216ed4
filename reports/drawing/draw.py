"""Draws the charts of a result. Each is drawn once, as an SVG that follows the page's theme and as a PNG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.measure.result import RunResult
from reports.charts import Chart, charts
from reports.drawing import sheet
from reports.drawing.theme import LIGHT, Theme, with_roles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG_DPI = 150


ALONE = {"capacity", "sweep"}
"""The only charts of a capacity search and of a sweep: their probes and levels are no cases to compare."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """One drawn chart. If drawing failed, `svg` and `png` are empty and `error` has the reason."""

    name: str
    title: str
    how: str
    words: str
    svg: str = ""
    png: bytes = b""
    error: str = ""


def draw_all(result: RunResult, *, png: bool = True, theme: Theme = LIGHT) -> list[Drawing]:
    """Draw every chart that applies. A failed chart is reported, and the report is still written."""
    drawings = []
    for name, chart in charts().items():
        try:
            judged = result.capacity is not None or result.sweep is not None
            if chart.applies(result) and (not judged or name in ALONE):
                drawings.append(draw(name, chart, result, png=png, theme=theme))
        except Exception as error:
            drawings.append(Drawing(name, chart.TITLE, chart.HOW, "", error=f"{type(error).__name__}: {error}"))
    return drawings


def draw(name: str, chart: Chart, result: RunResult, *, png: bool = True, theme: Theme = LIGHT) -> Drawing:
    """One chart."""
    words = chart.in_words(result)
    return drawn(name, chart.TITLE, chart.HOW, words, lambda shades: chart.figure(result, shades), png=png, theme=theme)


def drawn(
    name: str, title: str, how: str, words: str, make: Callable[[Theme], Figure], *, png: bool, theme: Theme = LIGHT
) -> Drawing:
    """A figure in the styles of a theme."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        # A missing glyph is drawn as a box. The page has the name as text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcParams.update(sheet.settings(theme) | {"svg.hashsalt": name})  # type: ignore[arg-type]  # stubs know no dict of settings
        figure = make(theme)
        return Drawing(name, title, how, words, as_svg(figure, name, theme), as_png(figure) if png else b"")


def as_png(figure: Figure) -> bytes:
    """PNG bytes, reproducible for the same figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return out.getvalue()


def as_svg(figure: Figure, name: str, theme: Theme) -> str:
    """An `<svg>` element for a page: colours by role, ids prefixed with `name`."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return inlined(out.getvalue(), name, theme)


def inlined(text: str, name: str, theme: Theme) -> str:
    """Reduce an SVG file to the parts that a page needs."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    text = f'<svg {box[0] if box else ""} xmlns:xlink="http://www.w3.org/1999/xlink" aria-hidden="true">{rest}'
    return with_roles(re.sub(r">\s+<", "><", re.sub(r"[ \t\n]+", " ", text)), theme)
