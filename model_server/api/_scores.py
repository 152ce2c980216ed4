"""Scores of a model's outputs."""

from __future__ import annotations

import math


def sigmoid(logit: float) -> float:
    """A logit as a score in [0, 1]."""
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
