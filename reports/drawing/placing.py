"""Labels beside points so that no label covers another label or a point. Pure: boxes in inches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, left to right and bottom to top."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def inside(self, other: Box) -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.bottom >= other.bottom
            and self.top <= other.top
        )


RADII = [0.09 + 0.07 * step for step in range(40)]
ANGLES = [math.radians(angle) for angle in (0, 180, 90, 270, 35, -35, 145, -145, 65, -65, 115, -115)]


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    taken: Sequence[Box] = (),
) -> list[Box | None]:
    """A box of the given size near each point, inside the frame, clear of `taken` and of each other.

    Greedy, the most crowded points first, the nearest free place each; None where no place is free.
    """
    blocked = list(taken)
    found: list[Box | None] = [None] * len(points)
    for at in sorted(range(len(points)), key=lambda at: -_crowding(points, at)):
        found[at] = _nearest(points[at], sizes[at], frame, blocked)
        if (box := found[at]) is not None:
            blocked.append(box)
    return found


def _crowding(points: Sequence[tuple[float, float]], at: int) -> int:
    x, y = points[at]
    return sum(math.hypot(x - other[0], y - other[1]) < 0.6 for other in points)


def _nearest(point: tuple[float, float], size: tuple[float, float], frame: Box, blocked: Sequence[Box]) -> Box | None:
    width, height = size
    for radius in RADII:
        for angle in ANGLES:
            box = _beside(point, radius, angle, width, height)
            if box.inside(frame) and not any(box.overlaps(other) for other in blocked):
                return box
    return None


def _beside(point: tuple[float, float], radius: float, angle: float, width: float, height: float) -> Box:
    """The box whose side or corner that looks at the point is `radius` away in the direction of `angle`."""
    x, y = point[0] + radius * math.cos(angle), point[1] + radius * math.sin(angle)
    left = x - width * (1 - math.cos(angle)) / 2
    bottom = y - height * (1 - math.sin(angle)) / 2
    return Box(left, bottom, left + width, bottom + height)
