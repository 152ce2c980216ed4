"""How a mask is spelled, and what is said of one that is not."""

from __future__ import annotations

import re

from model_server.errors import invalid

MASK = "[MASK]"
_MISSPELLED = re.compile(r"[\[<({]\s*mask\s*[\]>)}]", re.IGNORECASE)


def check_mask(text: str) -> None:
    """There is a [MASK], spelled so."""
    if MASK in text:
        return
    wrong = _MISSPELLED.search(text)
    if wrong:
        raise invalid(f"text: the mask is spelled {MASK}, not {wrong.group()}", "text", "mask_misspelled")
    raise invalid(f"text: has no {MASK}", "text", "mask_missing")
