"""The page in a real browser: it renders, fits a phone, and changes with the reader's theme."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from reports import gate
from reports.drawing.draw import draw_all
from reports.formats import html
from tests import report_samples as samples
from tests.unit.test_gate_judge import gates

# The same charts and pages are made in tests/unit/test_report.py.
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.no_cover]
PROBE = """<script>addEventListener('load', () => {
  const e = document.documentElement, s = getComputedStyle(document.body);
  document.title = [e.scrollWidth, innerWidth, s.backgroundColor, document.querySelectorAll('figure svg').length,
    Math.round(document.querySelector('h1').getBoundingClientRect().top)].join('|');
});</script></head>"""


def chromium(*more: str, profile: Path, url: str) -> str:
    """Headless Chromium, without its own traffic; returns the page as it stands after loading."""
    return chromium_logged(*more, profile=profile, url=url)[0]


def chromium_logged(*more: str, profile: Path, url: str) -> tuple[str, str]:
    """The same with the browser's log."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None and os.environ.get("CI") != "true":
        pytest.skip("needs chromium on PATH (Debian: apt-get install chromium)")
    assert binary, "browser tests need chromium on PATH (Debian: apt-get install chromium)"
    line = [binary, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    line += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"]
    line += [f"--user-data-dir={profile}", *more, "--dump-dom", url]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout, done.stderr


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (500, True)])
@pytest.mark.parametrize("kind", ["article", "hostile", "many", "llm"])
def test_the_page_fits_and_follows_the_theme(kind: str, width: int, dark: bool, tmp_path: Path) -> None:
    """No horizontal scrolling of the page itself, all charts there, the headline at the top, dark where asked for.

    Chromium's window is never narrower than 500 pixels; the frame below is 390, as a phone is.
    """
    check(*page_of(kind), width, dark, tmp_path)


@cache
def page_of(kind: str) -> tuple[str, int]:
    """The page of a result, and how many charts it has."""
    result = getattr(samples, kind)()
    drawings = draw_all(result, png=False)
    return html.render(result, drawings), len(drawings)


def test_the_page_of_a_gate_fits_a_phone(tmp_path: Path) -> None:
    """It has one chart."""
    page = gate.render(gates()[1], tmp_path, "html", gate.drawn(gates()[1], png=False))
    assert isinstance(page, str)
    check(page, 1, 500, True, tmp_path)


def check(rendered: str, charts: int, width: int, dark: bool, tmp_path: Path) -> None:
    """The page in a frame of this width, or of a phone's if that is 500."""
    # The page forbids scripts; ours measures.
    page = re.sub(r"<meta http-equiv[^>]*>", "", rendered)
    page = page.replace("</head>", PROBE, 1)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    phone = 390 if width == 500 else width
    frame = f"<iframe id=f src=page.html style='width:{phone}px;height:900px;border:0'></iframe>"
    script = "<script>onload=()=>{document.title=document.getElementById('f').contentDocument.title}</script>"
    (tmp_path / "frame.html").write_text(frame + script)
    more = ["--allow-file-access-from-files", f"--window-size={width},1000"]
    more += ["--blink-settings=preferredColorScheme=0"] if dark else []
    dom = chromium(*more, profile=tmp_path / "profile", url=f"file://{tmp_path}/frame.html")
    found = re.search(r"<title>([^<]+)</title>", dom)
    assert found
    scroll, inner, color, figures, top = found[1].split("|")
    assert int(scroll) <= int(inner) == phone
    assert int(figures) == charts
    assert int(top) < 250
    assert (color == "rgb(20, 24, 29)") is dark
