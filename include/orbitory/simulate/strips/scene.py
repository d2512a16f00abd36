"""One satellite image as a vendor sells it: what was seen, when and where, and the names that are given to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

#: Longitude and latitude in degrees of the upper left, upper right, lower right and lower left corner.
Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
#: First letter of a product code → bands as the IMD names them. WorldView-2 and -3 see eight where others see four.
_BANDS = {"P": ("P",), "M": ("B", "G", "R", "N"), "A": ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8")}
_EIGHT = ("C", "B", "G", "Y", "R", "RE", "N", "N2")
_CAVIS = ("DC", "A1", "G", "A2", "WV1", "WV2", "WV3", "NDVI", "C", "S", "A3", "A4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One image. Texts are as the vendor writes them."""

    #: Satellite, for example WV02.
    sensor: str
    catalog: str
    #: For example M1BS.
    product: str
    #: Twelve digits, ``_`` and two; GeoEye and IKONOS orders have fewer.
    order: str
    part: str = "P001"
    #: When the first line was seen.
    seen: datetime
    #: When the product was made.
    made: datetime
    corners: Corners
    rows: int = 64
    columns: int = 64
    #: How many tiles stand side by side.
    tiles: int = 1
    #: Cloud cover as it is written.
    cloud: str = "0.020"
    #: Begins the pixels' random numbers.
    seed: tuple[int, ...] = (0,)

    @property
    def stamp(self) -> str:
        """Time of the vendor's name: ``09DEC06145817``."""
        return f"{self.seen:%y}{_MONTHS[self.seen.month - 1]}{self.seen:%d%H%M%S}"

    @property
    def bands(self) -> tuple[str, ...]:
        """As the IMD names them."""
        if self.product[0] == "M" and self.sensor in ("WV02", "WV03"):
            return _EIGHT
        return _CAVIS if self.product[0] == "C" else _BANDS[self.product[0]]

    @property
    def projected(self) -> bool:
        """Whether it lies on a map grid (level 2A and above)."""
        return self.product[1] != "1"

    @property
    def day(self) -> str:
        """As NGA begins its names: ``06DEC09``."""
        return f"{self.seen:%d}{_MONTHS[self.seen.month - 1]}{self.seen:%y}"


def digitalglobe_name(scene: Scene, tile: str = "") -> str:
    """The vendor's own: ``09DEC06145817-P1BS-052869840050_01_P002``; a tile stands behind the product code."""
    return f"{scene.stamp}-{scene.product}{tile and '_'}{tile}-{scene.order}_{scene.part}"


def nga_name(scene: Scene, vendor: str, code: str) -> str:
    """NGA's delivery of the image that the vendor calls ``vendor``."""
    called = "OV05" if scene.sensor == "GE01" else scene.sensor
    padding = "_" * (3 if called == "OV05" else 9)
    return f"{scene.day}{called}{scene.seen:%y}000{vendor}{padding}{code}"


def renamed(scene: Scene, vendor: str) -> str:
    """As archives call it: sensor, time and catalog id before the vendor's name."""
    return f"{scene.sensor}_{scene.seen:%Y%m%d%H%M%S}_{scene.catalog}_{vendor}"


def renamed_short(scene: Scene, tile: str = "") -> str:
    """An older way of archives: ``WV02_10APR231908590-M2AS_R1C1-1030010005C7AF00``, without the order."""
    tenth = scene.seen.microsecond // 100_000
    return f"{scene.sensor}_{scene.stamp}{tenth}-{scene.product}{tile and '_'}{tile}-{scene.catalog}"


def geoeye_name(scene: Scene) -> str:
    """GeoEye's own: spacecraft, date, band, archive id, level, image, mono and the product number."""
    level, mono = scene.product[1:3], scene.product[3]
    archive = f"{int(scene.catalog):09d}"
    return f"5V{scene.seen:%y%m%d}{scene.product[0]}{archive}{level}222{int(scene.part[1:]):08d}2{mono}_{scene.order}"


def tile_of(scene: Scene, number: int) -> Scene:
    """The part of ``scene`` that its ``number``-th tile shows; they stand side by side."""

    def between(left: tuple[float, float], right: tuple[float, float], edge: int) -> tuple[float, float]:
        share = (number + edge) / scene.tiles
        step = (right[0] - left[0] + 180) % 360 - 180
        return (left[0] + share * step + 180) % 360 - 180, left[1] + share * (right[1] - left[1])

    upper_left, upper_right, lower_right, lower_left = scene.corners
    above = [between(upper_left, upper_right, edge) for edge in (0, 1)]
    below = [between(lower_left, lower_right, edge) for edge in (1, 0)]
    return replace(scene, corners=(above[0], above[1], below[0], below[1]))


def quadrangle(longitude: float, latitude: float, width: float, height: float) -> Corners:
    """A strip slightly turned against the meridian, ``width`` and ``height`` in kilometres, longitudes within ±180.

    Over a pole (latitude 90 or -90) its corners lie around it.
    """
    if abs(latitude) == 90:
        reach = math.copysign(90 - math.hypot(width, height) / 222.4, latitude)
        west = longitude - math.copysign(45, latitude)
        step = math.copysign(90, latitude)
        around = [((west + step * n + 180) % 360 - 180, reach) for n in range(4)]
        return (around[0], around[1], around[2], around[3])
    east = width / 222.4 / math.cos(math.radians(latitude))
    north, turn = height / 222.4, 0.12
    found = []
    for x, y in ((-1, 1), (1, 1), (1, -1), (-1, -1)):
        x_turned = longitude + east * (x + turn * y)
        found.append(((x_turned + 180) % 360 - 180, latitude + north * (y - turn * x)))
    return (found[0], found[1], found[2], found[3])


def ikonos_name(scene: Scene) -> str:
    """IKONOS products: order, bands and component."""
    return f"po_{scene.order}"
