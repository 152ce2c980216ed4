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


MARK = 0.05  # half a point's mark
NEAR = 0.17  # closer than this a label needs no line to its point
RADII = [0.09 + 0.07 * step for step in range(40)]
ANGLES = [math.radians(angle) for angle in (0, 180, 90, 270, 35, -35, 145, -145, 65, -65, 115, -115)]


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    taken: Sequence[Box] = (),
) -> list[Box | None]:
    """A box of the given size near each point, inside the frame, clear of `taken`, of each other and of all leaders.

    Greedy, lone points first, the nearest free place each; None where no place is free. A leader passes no other label
    and no other point, so that a label is never read as another point's.
    """
    blocked = list(taken)
    seen = [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in points]
    found: list[Box | None] = [None] * len(points)
    for at in sorted(range(len(points)), key=lambda at: _crowding(points, at)):
        found[at] = _nearest(points[at], sizes[at], frame, blocked, seen, points)
        if found[at] is None:  # rather a line across a point than no label
            found[at] = _nearest(points[at], sizes[at], frame, blocked, seen[len(points) :], points)
        if (box := found[at]) is not None:
            seen.append(box)
            blocked += [box, *leader(points[at], box)]
    return found


def _crowding(points: Sequence[tuple[float, float]], at: int) -> int:
    x, y = points[at]
    return sum(math.hypot(x - other[0], y - other[1]) < 0.6 for other in points)


def leader(point: tuple[float, float], box: Box, pieces: int = 16) -> list[Box]:
    """The line from a point to the nearest side of its label, as a chain of small boxes; empty if they nearly touch."""
    end = min(max(point[0], box.left), box.right), min(max(point[1], box.bottom), box.top)
    if _gap(point, box) < NEAR:
        return []
    parts = [step / pieces for step in range(1, pieces)]
    spots = [(point[0] + (end[0] - point[0]) * part, point[1] + (end[1] - point[1]) * part) for part in parts]
    return [Box(x - 0.01, y - 0.01, x + 0.01, y + 0.01) for x, y in spots]


def _gap(point: tuple[float, float], box: Box) -> float:
    """How far a point is from a box; 0 inside."""
    end = min(max(point[0], box.left), box.right), min(max(point[1], box.bottom), box.top)
    return math.dist(point, end)


def _nearest(
    point: tuple[float, float],
    size: tuple[float, float],
    frame: Box,
    blocked: Sequence[Box],
    seen: Sequence[Box],
    points: Sequence[tuple[float, float]],
) -> Box | None:
    """The first free place outwards; its leader crosses nothing in `seen`, and it lies nearest to its own point."""
    width, height = size
    here = Box(point[0] - 0.01, point[1] - 0.01, point[0] + 0.01, point[1] + 0.01)
    others = [one for one in seen if not one.overlaps(here)]
    rivals = [other for other in points if other != point]
    for radius in RADII:
        for angle in ANGLES:
            box = _beside(point, radius, angle, width, height)
            if not box.inside(frame) or any(box.overlaps(other) for other in blocked):
                continue
            line = leader(point, box)
            if not line and any(_gap(rival, box) < _gap(point, box) + 0.01 for rival in rivals):
                continue  # it would be read as the label of the other point
            if not any(piece.overlaps(other) for piece in line for other in others):
                return box
    return None


def _beside(point: tuple[float, float], radius: float, angle: float, width: float, height: float) -> Box:
    """The box whose side or corner that looks at the point is `radius` away in the direction of `angle`."""
    x, y = point[0] + radius * math.cos(angle), point[1] + radius * math.sin(angle)
    left = x - width * (1 - math.cos(angle)) / 2
    bottom = y - height * (1 - math.sin(angle)) / 2
    return Box(left, bottom, left + width, bottom + height)
