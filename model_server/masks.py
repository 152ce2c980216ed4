"""The mask token of fill-mask, and the check for it."""

from __future__ import annotations

import re

from model_server.errors import invalid

MASK = "[MASK]"
_MISSPELLED = re.compile(r"[\[<({]\s*mask\s*[\]>)}]", re.IGNORECASE)


def check_mask(text: str) -> None:
    """Raises `ApiError` unless the text has a [MASK], spelled exactly so."""
    if MASK in text:
        return
    wrong = _MISSPELLED.search(text)
    if wrong:
        raise invalid(f"text: the mask is spelled {MASK}, not {wrong.group()}", "text", "mask_misspelled")
    raise invalid(f"text: has no {MASK}", "text", "mask_missing")
