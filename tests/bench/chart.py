"""The chart of `python -m tests.bench`: clients side by side, transports by kind of answer, and the stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OURS, OTHERS = "#2a6f97", "#a0a4a8"
FIRST_OF_OURS = ("paceline", "lean", "the same")
KINDS = {"JSON": "one small JSON", "SSE, 16 at once": "16 events at once", "SSE, 16 events": "16 events apart"}
TRANSPORTS = ("bare protocol", "lean", "aiohttp", "bare aiohttp")


def draw(figures: dict[str, Any], file: Path) -> None:
    """Write the chart as PNG: a panel for each of its parts that was measured, at least one.

    `figures` are those of `tests.bench.__main__`.
    """
    from matplotlib.figure import Figure

    panels = [(part, *panel) for part, panel in PANELS.items() if part in figures]
    heights = [height for _, _, height in panels]
    figure = Figure(figsize=(10, 0.4 * sum(heights)), layout="constrained")
    grid = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)
    for axes, (part, paint, _) in zip(grid[:, 0], panels, strict=True):
        paint(axes, figures[part])
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("CPU of the client per request, µs")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def _clients(axes: Any, found: dict[str, dict[str, float]]) -> None:
    names = list(found)[::-1]
    costs = [found[name]["cpu_us"] for name in names]
    bars = axes.barh(names, costs, color=[OURS if name.startswith(FIRST_OF_OURS) else OTHERS for name in names])
    least = next(iter(found.values()))["cpu_us"]
    labels = [
        f"{found[name]['cpu_us']:.1f} µs = {found[name]['cpu_us'] / least:.1f}x, {found[name]['per_s']:,.0f}/s"
        for name in names
    ]
    axes.bar_label(bars, labels, padding=4)
    axes.set_xlim(0, max(costs) * 1.35)
    axes.set_title("Clients side by side: 32 connections, small JSON, one process (ours in blue)", loc="left")


def _transports(axes: Any, found: dict[str, dict[str, float]]) -> None:
    names, costs, colors, labels = [], [], [], []
    for kind, words in KINDS.items():
        first = found[f"{kind}: {TRANSPORTS[0]}"]["cpu_us"]
        for client in TRANSPORTS:
            cost = found[f"{kind}: {client}"]["cpu_us"]
            names.append(f"{words}: {client}")
            costs.append(cost)
            colors.append(OURS if client in {"lean", "aiohttp"} else OTHERS)
            labels.append(f"{cost:.1f} µs = {cost / first:.1f}x")
    places = [place + index // len(TRANSPORTS) * 0.6 for index, place in enumerate(range(len(names)))]
    bars = axes.barh(places, costs, color=colors)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.bar_label(bars, labels, padding=4)
    axes.set_xlim(0, max(costs) * 1.25)
    axes.set_title("Transports by kind of answer (ours in blue; x: times the bare protocol)", loc="left")


def _stages(axes: Any, found: dict[str, dict[str, float]]) -> None:
    ladder = found["ladder_us"]
    names, totals = list(ladder), list(ladder.values())
    before = [0.0, *totals[:-1]]
    parts = [total - start for total, start in zip(totals, before, strict=True)]
    bars = axes.barh(names, parts, left=before, color=OURS)
    axes.invert_yaxis()
    axes.bar_label(bars, [f"+{part:.2f} µs" for part in parts], padding=4)
    axes.set_xlim(0, max(totals) * 1.15)
    axes.set_title("Stages of a backlog, without a transport: each adds to the one above", loc="left")


PANELS = {"clients": (_clients, 11), "transports": (_transports, 14), "stages": (_stages, 9)}
"""Part -> what draws it, and its height."""
