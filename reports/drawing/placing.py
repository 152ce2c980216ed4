"""Places labels beside points without overlaps. Pure; boxes are in inches."""

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


# Half the size of a point.
MARK = 0.05
# A label closer than this needs no leader.
NEAR = 0.17
RADII = [0.09 + 0.07 * step for step in range(40)]
ANGLES = [math.radians(angle) for angle in (0, 180, 90, 270, 35, -35, 145, -145, 65, -65, 115, -115)]


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    taken: Sequence[Box] = (),
) -> list[Box | None]:
    """A box of the given size near each point, inside the frame, without overlaps with `taken`, boxes or leaders.

    Greedy: isolated points come first, and each takes the nearest free place, or None if there is none. A leader
    crosses no other label and no other point, so that every label can be assigned to its point.
    """
    blocked = list(taken)
    seen = [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in points]
    found: list[Box | None] = [None] * len(points)
    for at in sorted(range(len(points)), key=lambda at: _crowding(points, at)):
        found[at] = _nearest(points[at], sizes[at], frame, blocked, seen, points)
        if found[at] is None:
            # A leader that crosses a point is better than no label.
            found[at] = _nearest(points[at], sizes[at], frame, blocked, seen[len(points) :], points)
        if (box := found[at]) is not None:
            seen.append(box)
            blocked += [box, *leader(points[at], box)]
    return found


def _crowding(points: Sequence[tuple[float, float]], at: int) -> int:
    x, y = points[at]
    return sum(math.hypot(x - other[0], y - other[1]) < 0.6 for other in points)


def leader(point: tuple[float, float], box: Box, pieces: int = 16) -> list[Box]:
    """The line from a point to its label, as a chain of small boxes; empty if the two are close."""
    end = min(max(point[0], box.left), box.right), min(max(point[1], box.bottom), box.top)
    if _gap(point, box) < NEAR:
        return []
    parts = [step / pieces for step in range(1, pieces)]
    spots = [(point[0] + (end[0] - point[0]) * part, point[1] + (end[1] - point[1]) * part) for part in parts]
    return [Box(x - 0.01, y - 0.01, x + 0.01, y + 0.01) for x, y in spots]


def _gap(point: tuple[float, float], box: Box) -> float:
    """The distance of a point from a box; 0 inside."""
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
    """The nearest free place whose leader crosses nothing in `seen` and which is closest to its own point."""
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
                # It would look like the label of the other point.
                continue
            if not any(piece.overlaps(other) for piece in line for other in others):
                return box
    return None


def _beside(point: tuple[float, float], radius: float, angle: float, width: float, height: float) -> Box:
    """The box in the direction of `angle` whose nearest side or corner is `radius` away from the point."""
    x, y = point[0] + radius * math.cos(angle), point[1] + radius * math.sin(angle)
    left = x - width * (1 - math.cos(angle)) / 2
    bottom = y - height * (1 - math.sin(angle)) / 2
    return Box(left, bottom, left + width, bottom + height)
