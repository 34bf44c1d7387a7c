"""Draws `latest.json` (the argument) as PNG files beside it; runs in an environment of its own."""

# matplotlib is in that environment, not in the one that is type-checked.
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter, StrMethodFormatter

SUBJECT: Final = "aml-serve"
FLOOR: Final = "floor"
OWN: Final = "#0b6e4f"
OTHER: Final = "#7a9cc6"

Panel = Callable[[Any, str, list[Any]], None]


def draw(medians: dict[str, Any], title: str, file: Path, panel: Panel) -> None:
    """A panel for each workload with a place for each server, the best on top."""
    most = max(sum(line["peer"] != FLOOR for line in lines) for lines in medians.values())
    columns = min(2, len(medians))
    rows = -(-len(medians) // columns)
    size = (6 * columns, (0.9 + 0.25 * most) * rows + 0.4)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat[len(medians) :]:
        axis.axis("off")
    for axis, (workload, lines) in zip(axes.flat, medians.items(), strict=False):
        panel(axis, workload, lines)
        axis.set_ylim(len(axis.get_yticks()) - most - 0.6, len(axis.get_yticks()) - 0.4)
        axis.tick_params(labelsize=8)
        for label in axis.get_yticklabels():
            label.set_fontweight("bold" if label.get_text() == SUBJECT else "normal")
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.15)
    figure.suptitle(title)
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)


def sorted_values(
    lines: list[Any], field: str, connections: str, *, reverse: bool
) -> dict[str, float]:
    """Server -> value, the best last; without the floor, which would squeeze the rest."""
    servers = [line for line in lines if line["peer"] != FLOOR]
    servers.sort(key=lambda line: line[field][connections], reverse=reverse)
    return {line["peer"]: line[field][connections] for line in servers}


def told(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def rates(connections: str) -> Panel:
    """Bars of requests per second."""

    def panel(axis: Any, workload: str, lines: list[Any]) -> None:
        values = sorted_values(lines, "requests_per_s", connections, reverse=False)
        colours = [OWN if name == SUBJECT else OTHER for name in values]
        drawn = axis.barh(list(values), list(values.values()), color=colours)
        axis.bar_label(drawn, [told(v) for v in values.values()], padding=3, fontsize=8)
        floor = [line["requests_per_s"][connections] for line in lines if line["peer"] == FLOOR]
        axis.set_xlabel("requests per second", fontsize=8)
        note = f" (raw ASGI floor: {told(floor[0])})" if floor else ""
        axis.set_title(workload + note, loc="left", fontsize=10)

    return panel


def waits(connections: str) -> Panel:
    """Dots of the 99th percentile, on a scale whose ends are not zero."""

    def panel(axis: Any, workload: str, lines: list[Any]) -> None:
        values = sorted_values(lines, "p99_ms", connections, reverse=True)
        for name, value in values.items():
            mark = {"color": OWN, "ms": 9} if name == SUBJECT else {"color": OTHER}
            axis.plot([value], [name], "o", **mark)
            axis.annotate(
                told(value), (value, name), (7, 0), textcoords="offset points", va="center",
                fontsize=8,
            )  # fmt: skip
        axis.set_xscale("log")
        axis.set_xlabel("ms, logarithmic", fontsize=8)
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(axis="x", alpha=0.3)
        axis.set_title(workload, loc="left", fontsize=10)

    return panel


def main() -> None:
    """Draw both plots."""
    mpl.use("Agg")
    data = Path(sys.argv[1])
    medians = json.loads(data.read_text())["medians"]
    if not medians:
        return
    counts = list(next(iter(medians.values()))[0]["requests_per_s"])
    middle, last = counts[len(counts) // 2], counts[-1]
    title = f"Requests per second, {middle} connections (more is better)"
    draw(medians, title, data.parent / "requests-per-second.png", rates(middle))
    title = f"99th percentile of latency, {last} connections (less is better)"
    draw(medians, title, data.parent / "p99-latency.png", waits(last))


if __name__ == "__main__":
    main()
