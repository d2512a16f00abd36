"""The page of a report: one file that loads nothing, for people who have only a browser."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import jinja2

from orbitory.listing import readable
from orbitory.mfp.report.figures import MOST_FINDINGS, Figures
from orbitory.mfp.report.worldmap import Map

_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 600, 20, 170
#: Words at the ends of two lines keep this distance.
_APART = 16


def render(figures: Figures, drawn: Map, files: Sequence[tuple[str, str]]) -> str:
    """Write the page; ``files``: what stands beside it, and what that is."""
    style, script = shipped("page.css"), shipped("page.js")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"figure": figure, "moment": moment, "readable": readable}
    sensors = figures.coverage["sensors"]
    return environment.from_string(shipped("page.html.j2")).render(
        f=figures,
        map=drawn,
        files=files,
        now=datetime.now(UTC),
        moved={
            name: sum(part[name] for part in figures.counts["sensors"].values())
            for name in ("put_aside", "brought_back")
        },
        united=sum(part["union_km2"] for part in sensors.values()),
        coverage=list(_coverage(figures)),
        interest=[(name, part["area_of_interest"]) for name, part in sensors.items() if "area_of_interest" in part],
        new_sensors=sorted(set(figures.sensors) - set(figures.previous.sensors)) if figures.previous else [],
        trend=_trend(figures),
        most=MOST_FINDINGS,
        style=style,
        script=script,
        style_hash=hash_of_text(style),
        script_hash=hash_of_text(script),
    )


def shipped(name: str) -> str:
    """A file of this package."""
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def hash_of_text(text: str) -> str:
    """By which the page's policy lets this text act, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def figure(value: float | None, digits: int = 0) -> str:
    """A number for people.

    >>> figure(1234567), figure(-0.12345, 2), figure(None)
    ('1,234,567', '−0.12', '')
    """
    return "" if value is None else f"{value:,.{digits}f}".replace("-", "−")


def moment(value: datetime) -> str:
    """A time in UTC with its day of the year.

    >>> moment(datetime(2026, 11, 21, 18, 20, tzinfo=UTC))
    '2026-11-21 18:20:00 UTC (day 325)'
    """
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S UTC (day %j)}"


def _coverage(figures: Figures) -> Iterator[dict[str, Any]]:
    """Years of each sensor and all of it together."""
    for sensor, part in sorted(figures.coverage["sensors"].items()):
        known = {row["year"]: row for row in figures.statistics if row["sensor"] == sensor}
        for year in part["years"]:
            before = known.get(year["year"], {})
            yield {
                **year,
                "sensor": sensor,
                "told": "undated" if year["year"] is None else year["year"],
                "sum": False,
                "rows_before": before.get("rows_before"),
                "union_before": before.get("union_before"),
            }
        yield {
            **part,
            "sensor": sensor,
            "year": None,
            "told": "all",
            "sum": True,
            "rows_before": None,
            "union_before": None,
        }


@dataclass(slots=True, kw_only=True)
class _Line:
    """One line of the chart, with its words at the right."""

    level: str
    points: str
    label: str
    #: Where it ends, and where its words stand, from the top.
    end: float
    text: float = 0

    def __post_init__(self) -> None:
        self.text = self.end


def _trend(figures: Figures) -> dict[str, Any] | None:
    """Lines of the chart; None when there is but one point."""
    history = figures.history
    if len(history) < 2:
        return None
    most = max(1, *(row[name] for row in history for name in ("errors", "warnings")))
    step = (_RIGHT - _LEFT) / (len(history) - 1)
    places = [round(_LEFT + number * step, 1) for number in range(len(history))]

    def height(value: float) -> float:
        return round(float(_BOTTOM - (_BOTTOM - _TOP) * value / most), 1)

    lines = []
    for level, name in (("error", "errors"), ("warning", "warnings")):
        last = history[-1][name]
        points = " ".join(f"{x},{height(row[name])}" for x, row in zip(places, history, strict=True))
        lines.append(_Line(level=level, points=points, end=height(last), label=f"{figure(last)} {name}"))
    upper, lower = sorted(lines, key=lambda line: line.end)
    lower.text = max(lower.end, upper.end + _APART)
    ticks = [(x, row["id"]) for x, row in zip(places, history, strict=True)]
    return {"most": most, "lines": lines, "ticks": ticks[:: max(1, len(ticks) // 10)]}
