"""The master footprints: one preferred row for each strip image, kept up by ingest, and what is checked about them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from orbitory.errors import ConfigurationError

#: Deployments as NCCS names them.
Environment = Literal["alpha", "dev-nccs", "prod-nccs", "dev-drg", "prod-drg"]

_LINUX_ROOT = re.compile(r"/(?:[^/\x00-\x1f\x7f]+/)*")
_WINDOWS_ROOT = re.compile(r'(?:[A-Z]:|//[^/<>:"|?*\\\x00-\x1f]+)/(?:[^/<>:"|?*\\\x00-\x1f]+/)*')
#: By these the best of several images is found, and from it follows which ones are removed.
_OF_CHOICE = ("max_cloud", "min_sun", "target_day", "overlap")
_DAY = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_LAST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What may be set about master footprints; the defaults are those of the DAG and of the command, too.

    Raises ConfigurationError that names the parameter. Tables of NCCS's script are none: a deployment has a database of
    its own, with fixed names. Sources: DOMAIN 4.6 (thresholds), that script (paths, names).
    """

    #: Where users of Linux find what stands in storage, and users of Windows.
    linux_root: str = "/css/nga/"
    windows_root: str = "P:/data/"
    #: A footprint that lies in no country (or zone) takes the nearest one within so much; 0: none.
    search_radius_km: float = 100.0
    #: How far the corners of a footprint may stand from where its metadata put them.
    horizontal_distance_threshold_m: float = 100.0
    #: Images with more cloud (fraction 0..1) or less sun (degrees) are never preferred to one that is within.
    max_cloud: float = 0.5
    min_sun: float = 2.0
    #: ``MM-DD``: images taken about this day of any year are preferred; None: the day does not matter.
    target_day: str | None = None
    #: Share of the smaller of two images that both must show to be the same scene: two orders of one image are cut
    #: differently (the real pair of 2009-12-06 shares 0.856), neighbours in a strip share 0.1 at most.
    overlap: float = 0.8
    #: Written beside every result.
    environment: Environment = "alpha"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        _require(bool(_LINUX_ROOT.fullmatch(self.linux_root)), "linux_root", self.linux_root, "/css/nga/")
        _require(bool(_WINDOWS_ROOT.fullmatch(self.windows_root)), "windows_root", self.windows_root, "P:/data/")
        for name in ("linux_root", "windows_root"):
            segments = getattr(self, name).split("/")
            _require(not {".", ".."} & set(segments), name, getattr(self, name), "a path without . and ..")
        for name, least, most in (
            ("search_radius_km", 0.0, 20_000.0),
            ("horizontal_distance_threshold_m", 0.0, 1_000_000.0),
            ("max_cloud", 0.0, 1.0),
            ("min_sun", -90.0, 90.0),
            ("overlap", 0.0, 1.0),
        ):
            value = getattr(self, name)
            sound = not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
            _require(sound and least <= value <= most, name, value, f"a number from {least:g} to {most:g}")
        day = _DAY.fullmatch(self.target_day) if isinstance(self.target_day, str) else None
        sound = bool(day and int(day[2]) <= _LAST_DAYS[int(day[1]) - 1])
        _require(self.target_day is None or sound, "target_day", self.target_day, "a month and day such as 07-15")
        known = get_args(Environment)
        _require(self.environment in known, "environment", self.environment, f"one of {', '.join(known)}")

    @classmethod
    def of_deployment(cls, environment: Mapping[str, str] = os.environ) -> Parameters:
        """The defaults, but where the deployment's environment says otherwise (``ORBITORY_MFP_<NAME>``).

        Rows that ingest writes need them, and all evaluations choose alike.
        """
        found: dict[str, Any] = {}
        for each in fields(cls):
            if value := environment.get(f"ORBITORY_MFP_{each.name.upper()}", ""):
                try:
                    found[each.name] = float(value) if isinstance(each.default, float) else value
                except ValueError:
                    found[each.name] = value
        return cls(**found)

    def chooses_otherwise(self) -> bool:
        """Whether the best image may be another one by these than by those of the deployment."""
        deployed = self.of_deployment()
        return any(getattr(self, name) != getattr(deployed, name) for name in _OF_CHOICE)

    def changed(self, **values: Any) -> Parameters:
        """The same but for ``values``; None leaves what is there."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return asdict(self)


def _require(sound: bool, name: str, value: object, expected: str) -> None:
    if not sound:
        raise ConfigurationError(f"{name} is {value!r}: expected {expected}, for master footprints")
