"""Texts and lists as the OpenAPI document describes them: their least length. The routes check it themselves, with an
error of its own."""

from __future__ import annotations

from typing import Annotated

import msgspec

SOME = msgspec.Meta(extra_json_schema={"minItems": 1})
"""Of a list: at least one entry."""
Filled = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": r"\S"})]
FilledTexts = Annotated[list[Filled], SOME]
