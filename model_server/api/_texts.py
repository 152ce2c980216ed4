"""Types of texts and lists with their minimum length for the OpenAPI document; the routes check it themselves."""

from __future__ import annotations

from typing import Annotated

import msgspec

SOME = msgspec.Meta(extra_json_schema={"minItems": 1})
"""A list with at least one entry."""
Filled = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": r"\S"})]
FilledTexts = Annotated[list[Filled], SOME]
