"""What a PGE may say about itself: one strict ``pges/<name>.toml`` each.

Selection policies follow ESA's Generic IPF Interface (MMFI-GSEG-EOPG-TN-07-0003, annex B) as far as archives use them;
t0 and t1 below are the ends of the instance's period, widened by the input's margins.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from orbitory.definitions import _LIST, Name, Refused, Sensor, Title, _distinct, _matching, _Strict

#: What a command may name.
COMMAND_VARIABLES: Mapping[str, str] = {
    "python": "the Python that runs Orbitory, with its libraries",
    "pges": "the folder include/pges",
    "work": "the work folder of the run",
}

Select = Literal[
    "same_granule",
    "neighbours",
    "all",
    "valintersect",
    "valcover",
    "latest_valcover",
    "latest_before",
    "closest_start",
    "closest_stop",
    "latest_created",
    "largest_overlap",
]
#: Policies that take one granule.
SINGLE: frozenset[str] = frozenset(
    {"latest_valcover", "latest_before", "closest_start", "closest_stop", "latest_created", "largest_overlap"}
)


def _check_word(word: str) -> str:
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(word) if name is not None]
    except ValueError:
        raise Refused(f"braces do not match in {word!r}", "write {{ and }} for braces themselves") from None
    for name in names:
        if name not in COMMAND_VARIABLES:
            known = ", ".join(f"{{{each}}}" for each in COMMAND_VARIABLES)
            raise Refused(f"unknown placeholder {{{name}}} in {word!r}", f"known are {known}")
    if "\x00" in word:
        raise Refused("a word of a command may not hold a null character")
    return word


def _check_glob(pattern: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9*?\[\]!][A-Za-z0-9*?\[\]!._+-]{0,199}", pattern):
        raise Refused(f"expected a file name with * and ?, without folder or leading dot, got {pattern!r}")
    return pattern


def _check_static(path: str) -> str:
    parts = path.removeprefix("/").split("/")
    if not path or "\x00" in path or any(part in ("", ".", "..") for part in parts):
        raise Refused(f"expected a plain path, absolute or below include/pges, got {path!r}")
    return path


def _check_polygon(text: str) -> str:
    import shapely  # where there is a polygon to look at: the catalogue is read often

    if not re.fullmatch(r"(MULTI)?POLYGON\s*\([-+0-9.eE,()\s]+\)", text):
        raise Refused(f"expected W,S,E,N in degrees or a POLYGON in WKT, got {text!r}")
    try:
        shape = shapely.from_wkt(text)
    except shapely.errors.ShapelyError as error:
        raise Refused(f"expected a POLYGON in WKT, got {text!r}: {error}") from None
    if not shape.is_valid:
        raise Refused(f"{shapely.is_valid_reason(shape)}: expected a polygon that is closed and does not cross itself")
    west, south, east, north = shape.bounds
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise Refused(f"expected longitudes from -180 to 180 and latitudes from -90 to 90, got {text!r}")
    return text


def _check_area(text: str) -> str:
    """``W,S,E,N`` in degrees, or WKT of a polygon in longitude and latitude."""
    if "(" in text:
        return _check_polygon(text)
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise Refused(f"expected W,S,E,N in degrees or a POLYGON in WKT, got {text!r}") from None
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise Refused(f"expected -180 <= W < E <= 180 and -90 <= S < N <= 90, got {text!r}")
    return text


Version = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,30}", "a version such as 1 or 2.1")]
Word = Annotated[str, AfterValidator(_check_word)]
Variable = Annotated[str, _matching(r"[A-Z][A-Z0-9_]{0,79}", "a name of capital letters, digits and _")]
OutputGlob = Annotated[str, AfterValidator(_check_glob)]
StaticPath = Annotated[str, AfterValidator(_check_static)]
Area = Annotated[str, AfterValidator(_check_area)]
#: A product id (SVM01), a strip's product code (P1BS), or a product type (viirs_sdr) for all that it holds.
Product = Annotated[str, _matching(r"[A-Za-z][A-Za-z0-9_-]{0,39}", "a product id or product type")]
Products = Annotated[tuple[Product, ...], _LIST, AfterValidator(_distinct), Field(min_length=1)]
Platform = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,19}", "a platform such as NPP")]
Margin = Annotated[float, Field(ge=0, le=31_622_400)]
Minutes = Annotated[float, Field(ge=0, le=527_040)]


class Run(_Strict):
    """How it is run, and what it may use."""

    #: Program and arguments; the path of the run configuration (JSON) comes last. No shell reads them.
    command: Annotated[tuple[Word, ...], _LIST, Field(min_length=1)]
    environment: Mapping[Variable, str] = {}
    cpus: Annotated[int, Field(ge=1, le=256)] = 1
    memory_mb: Annotated[int, Field(ge=16, le=1_048_576)] = 1024
    disk_mb: Annotated[int, Field(ge=1, le=16_777_216)] = 1024
    wall_seconds: Annotated[float, Field(gt=0, le=604_800)] = 3600.0
    #: Where it waits for its turn: a pool in Airflow.
    queue: Name = "default"
    #: Of what waits in one queue, the highest goes first.
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    #: So often a failed run is tried again before a person must look.
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    #: A waiting instance gives up so long after its period ended, or after it was planned if that was later.
    max_age_hours: Annotated[float, Field(gt=0, le=87_840)] = 72.0
    #: What follows when better inputs come after it is done, or missing ones after it expired: another run, or nothing.
    late: Literal["replan", "ignore"] = "replan"
    #: Whether people are told of instances that were given up.
    expiry: Literal["alert", "quiet"] = "alert"


class Period(_Strict):
    """What one instance is for."""

    #: granule: each granule of ``of``; area: each that touches ``area``; granules: ``size`` granule times in a row;
    #: orbit: each orbit of a platform; time: bins of ``hours`` since 1970, UTC.
    kind: Literal["granule", "granules", "orbit", "time", "area"]
    #: Name of the input whose granules make periods.
    of: Name
    size: Annotated[int, Field(ge=1, le=1_000)] | None = None
    hours: Annotated[float, Field(ge=1 / 60, le=8_784)] | None = None
    #: Only granules of ``of`` whose footprint touches it: W,S,E,N in degrees, or WKT.
    area: Area | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for kind, key in (("granules", "size"), ("time", "hours"), ("area", "area")):
            if self.kind == kind and getattr(self, key) is None:
                raise Refused(f"kind {kind!r} needs the key {key!r}")
            if key != "area" and self.kind != kind and getattr(self, key) is not None:
                raise Refused(f"only kind {kind!r} has the key {key!r}, this one is {self.kind!r}")
        return self


class PgeInput(_Strict):
    """One of the things it needs."""

    name: Name
    #: granule: archived, of the period's platform; ancillary: archived, of any; file: outside the archive.
    kind: Literal["granule", "ancillary", "file"] = "granule"
    #: same_granule wants one of each (of a strip that makes periods: the one that made it), every other policy chooses
    #: among all of them.
    products: Products | None = None
    #: Lists of products in order of preference; a later one serves once the time-out has passed.
    alternatives: Annotated[tuple[Products, ...], _LIST, Field(min_length=2)] | None = None
    #: Of kind file: absolute, or below include/pges.
    path: StaticPath | None = None
    #: same_granule: the granule id or time of the period's own granule; neighbours: it and those around it; all: every
    #: one that starts in [t0, t1); valintersect: every one that touches it; valcover: as many as cover it together.
    #: One granule: latest_valcover the newest-made that covers it alone; latest_before the one that starts last of
    #: those that touch it and start no later than the period does; closest_start/closest_stop the one that starts/stops
    #: nearest to t0/t1 of those that touch it; latest_created the newest-made that touches it; largest_overlap the one
    #: that covers most of it.
    select: Select = "same_granule"
    before_seconds: Margin = 0.0
    after_seconds: Margin = 0.0
    #: Granules before and after the period's own.
    neighbours: Annotated[tuple[Annotated[int, Field(ge=0, le=50)], ...], _LIST, Field(min_length=2, max_length=2)] = (
        1,
        1,
    )
    #: A granule's length at most; unset: what the product type says, else a day.
    longest_seconds: Annotated[float, Field(gt=0, le=31_622_400)] | None = None
    #: So few are enough once the time-out has passed (MINCOVER).
    min_count: Annotated[int, Field(ge=1, le=100_000)] | None = None
    #: Of the period's time that must be covered: enough once the time-out has passed.
    percent: Annotated[float, Field(gt=0, le=100)] | None = None
    #: It may be missing once the time-out has passed.
    optional: bool = False
    #: How long what is not complete is waited for, after the required inputs suffice and have stopped changing.
    timeout_minutes: Minutes = 0.0
    #: Which files of a granule it gets.
    roles: Annotated[
        tuple[Literal["data", "sibling", "metadata", "browse", "bundle"], ...], _LIST, Field(min_length=1)
    ] = ("data",)

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """Product lists in order of preference; none for a file."""
        return self.alternatives or ((self.products,) if self.products else ())

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = [key for key in ("products", "alternatives", "path") if getattr(self, key) is not None]
        wanted = ["path"] if self.kind == "file" else ["products", "alternatives"]
        if len(given) != 1 or given[0] not in wanted:
            raise Refused(f"input {self.name!r} of kind {self.kind!r} needs {' or '.join(wanted)} and nothing else")
        if self.min_count is not None and (self.kind == "file" or self.select in SINGLE):
            raise Refused(f"input {self.name!r} takes one, so min_count has no meaning")
        if self.percent is not None and (self.kind == "file" or self.select in ("same_granule", "neighbours")):
            raise Refused(f"input {self.name!r}: select {self.select!r} has no percent")
        if self.select == "neighbours" and self.min_count is not None and self.min_count > sum(self.neighbours) + 1:
            raise Refused(f"input {self.name!r}: min_count is more than {sum(self.neighbours) + 1} neighbours")
        return self


class PgeOutput(_Strict):
    """One kind of file that it makes."""

    name: Name
    #: Product type of the catalogue.
    product: Name
    #: Names of its files in the output folder.
    pattern: OutputGlob
    min: Annotated[int, Field(ge=0, le=100_000)] = 1
    max: Annotated[int, Field(ge=1, le=100_000)] = 1

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.min > self.max:
            raise Refused(f"output {self.name!r}: min {self.min} is more than max {self.max}")
        return self


class Where(_Strict):
    """Only granules of these; an empty list leaves all."""

    platforms: Annotated[tuple[Platform, ...], _LIST, AfterValidator(_distinct)] = ()
    sensors: Annotated[tuple[Sensor, ...], _LIST, AfterValidator(_distinct)] = ()


class Pge(_Strict):
    """A Product Generation Executable: one ``pges/<name>.toml``."""

    #: As the file's stem.
    name: Name
    title: Title
    #: Another version makes everything anew.
    version: Version
    enabled: bool = True
    run: Run
    period: Period
    inputs: Annotated[tuple[PgeInput, ...], _LIST, Field(min_length=1)]
    outputs: Annotated[tuple[PgeOutput, ...], _LIST, Field(min_length=1)]
    where: Where = Where()

    @property
    def anchor(self) -> PgeInput:
        """The input whose granules make periods."""
        return next(each for each in self.inputs if each.name == self.period.of)

    @property
    def spans_platforms(self) -> bool:
        """Whether one instance takes granules of every platform."""
        return self.period.kind == "time"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for what, names in (("input", [i.name for i in self.inputs]), ("output", [o.name for o in self.outputs])):
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise Refused(f"two {what}s are called {twice!r}")
        anchors = [each for each in self.inputs if each.name == self.period.of]
        if not anchors or anchors[0].kind != "granule" or anchors[0].optional:
            raise Refused(f"period.of is {self.period.of!r}: expected the name of a required input of kind granule")
        single = self.period.kind in ("granule", "area")
        if anchors[0].select not in (("same_granule", "neighbours") if single else ("all", "valintersect")):
            expected = "same_granule or neighbours" if single else "all or valintersect"
            raise Refused(f"input {self.period.of!r}: a period of kind {self.period.kind!r} selects {expected}")
        for each in self.inputs:
            if each.kind != "file" and each.select in ("same_granule", "neighbours") and not single:
                raise Refused(f"input {each.name!r}: {each.select!r} needs a period of kind 'granule' or 'area'")
        return self
