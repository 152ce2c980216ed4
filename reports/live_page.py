"""The page that shows a run while it runs: one file whose script asks only the server that it came from."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from reports.formats import html


def render(run: str, token: str) -> tuple[str, str]:
    """The page, and the Content-Security-Policy that goes with it.

    `run` identifies this run; the next one at the same address has another. `token` is what a stop has to send.
    """
    from markupsafe import Markup

    # As browsers see the text: the template adds the line breaks around it.
    script = "\n" + (files("reports.formats") / "live.js").read_text(encoding="utf-8") + "\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    page = (
        html.templates()
        .get_template("live.html.j2")
        .render(run=run, token=token, script=Markup(script), **html.themes())  # noqa: S704 - our own script
    )
    return page, policy
