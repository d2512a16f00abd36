"""Makes the strips of one delivery: which kinds come in turn, what each shows, and the orders they were bought in."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from orbitory.catalogue import Source
from orbitory.simulate.faults import takes_manifests, usable_algorithms
from orbitory.simulate.items import STYLES, Item, manifest, sidecar
from orbitory.simulate.strips.orders import documents
from orbitory.simulate.strips.scene import Corners, Scene, quadrangle
from orbitory.simulate.strips.units import Kind, unit

_FIRST_DAY = datetime(2010, 1, 1, tzinfo=UTC)
_DAYS = 3_000
_SECONDS_APART = 397
_SIDECAR_EVERY = 5
_SET_FILES = 4
#: Every so many places lie over the antimeridian and around a pole.
_PLACES = 7
#: Sensor → how its catalog ids begin; WorldView-3 tells its cameras apart.
_CATALOGS = {"QB02": "101001", "WV01": "102001", "WV02": "103001", "GE01": "105001", "LG01": "B11000"}
_CAMERAS = {"A": "104A01", "C": "104C01"}

#: What DigitalGlobe lays beside an image.
_ALL = ("IMD", "XML", "RPB", "TIL", "ATT", "EPH", "GEO", "README.TXT", "BROWSE")
_MAPPED = tuple(each for each in _ALL if each != "RPB")


def _kind(form: str, sensor: str, product: str, images: str, beside: str) -> Kind:
    return Kind(form=form, sensor=sensor, product=product, images=tuple(images.split()), beside=tuple(beside.split()))


#: In the order in which a delivery of NGA takes turns. Faults repeat the first ones.
NGA = (
    _kind("nga_dg", "QB02", "P1BS", "ntf", "tar"),
    _kind("renamed_dg", "WV01", "P1BS", "ntf", "xml"),
    _kind("renamed_dg", "WV02", "M1BS", "ntf", "xml tar browse thumb"),
    replace(_kind("renamed_dg2", "WV02", "M2AS", "ntf", "xml"), tiles=2),
    _kind("renamed_dg", "WV04", "P1BS", "tif", "xml tar thumb"),
    _kind("nga_ge", "GE01", "M4AM", "ntf", "tar"),
    _kind("renamed_dg", "LG01", "M1BS", "tif", "xml"),
    _kind("renamed_dg", "WV03", "A1BS", "ntf", "xml"),
    _kind("renamed_dg", "WV03", "C1BB", "ntf", "xml"),
    _kind("renamed_dg", "WV03", "P2AS", "ntf tif", "xml tar browse"),
    _kind("renamed_ge", "GE01", "P4AM", "ntf", "pvl"),
    _kind("renamed_ik", "IK01", "P2AS", "ntf", "metadata.txt"),
    replace(_kind("renamed_dg", "WV01", "P1BS", "tif", "xml"), tiles=2),
    _kind("raw_dg", "GE01", "M1BS", "NTF", "XML"),
    _kind("nga_dg", "WV03", "P1BS", "NTF", "TAR"),
    replace(_kind("renamed_dg", "WV02", "M1BS", "tif", ""), tail="_u08mr3413"),
)


def _pairs(sensor: str, products: tuple[str, str], beside: tuple[str, ...], tiles: int = 1) -> tuple[Kind, ...]:
    kinds = (replace(_kind("raw_dg", sensor, each, "TIF", ""), beside=beside, tiles=tiles) for each in products)
    return tuple(kinds) * 2


#: Orders of two parts in two bands each, one order after the other.
MAXAR = (
    *_pairs("WV02", ("P1BS", "M1BS"), _ALL),
    *_pairs("WV03", ("P2AS", "M2AS"), _MAPPED, tiles=2),
    *_pairs("GE01", ("P1BS", "M1BS"), _ALL),
    *_pairs("WV03", ("A1BS", "C1BB"), _ALL),
)
_PARTS_OF = {"P": "PAN", "M": "MUL", "A": "SWIR", "C": "CAVIS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who delivers, and how."""

    kinds: tuple[Kind, ...]
    #: Images of one order: its parts, each in so many bands.
    per_order: int
    bands: int
    #: Folder of an image below the landing folder.
    folder: Callable[[Scene], str]
    #: README, layout and shapes of an order, from its scenes.
    papers: Callable[[list[Scene]], Iterator[Item]]


def _order_folder(scene: Scene) -> str:
    return f"{scene.order}/{scene.order}_{scene.part}_{_PARTS_OF[scene.product[0]]}"


PROVIDERS = {
    "nga": Provider(kinds=NGA, per_order=1, bands=1, folder=lambda _: "", papers=lambda _: iter(())),
    "maxar": Provider(kinds=MAXAR, per_order=4, bands=2, folder=_order_folder, papers=documents),
}


class StripWorkshop:
    """Makes the files of one delivery; image ``n`` is the same whatever else is made."""

    def __init__(self, source: Source, seed: int) -> None:
        """Nothing is made yet."""
        self.source = source
        self.provider = PROVIDERS[source.grammar]
        self._seed = seed
        self._generator = np.random.default_rng(seed)
        self._day = _FIRST_DAY + timedelta(days=self.draw(_DAYS), hours=self.draw(24))
        self._goods = self._next = self._spent = self._repeated = 0

    def draw(self, count: int) -> int:
        """A number from 0 to ``count - 1``."""
        return int(self._generator.integers(count))

    def divide(self, goods: int, repeated: int) -> None:
        """The first ``goods`` units are good; faults repeat the first ``repeated`` of them and get the rest fresh."""
        self._goods, self._repeated = goods, repeated
        # Each fresh one is of its own order.
        self._next = -(-goods // self.provider.per_order) * self.provider.per_order

    def kind(self, number: int) -> Kind:
        """How the ``number``-th unit is delivered."""
        return self.provider.kinds[number % len(self.provider.kinds)]

    def scene(self, number: int, kind: Kind | None = None) -> Scene:
        """What the ``number``-th unit shows. Bands of a part show one place, their times a second apart at most."""
        kind = kind or self.kind(number)
        provider = self.provider
        look = number // provider.bands
        generator = np.random.default_rng([self._seed, look])
        seen = self._day + timedelta(seconds=look * _SECONDS_APART, microseconds=int(generator.integers(1_000_000)))
        seen += timedelta(seconds=number % provider.bands * (look % 2))
        if kind.form == "renamed_ik":  # known by the minute
            seen = seen.replace(second=0, microsecond=0)
        part = look % max(1, provider.per_order // provider.bands) + 1
        order = f"{50_000_000_000 + 7_919 * (self._seed % 100_000) + 10 * (number // provider.per_order):012d}_01"
        scene = Scene(
            sensor=kind.sensor, catalog=_catalog(kind, seen, f"{self._seed}/{look}"), product=kind.product, order=order,
            part=f"P{part:03d}", seen=seen, made=(seen + timedelta(days=400)).replace(microsecond=0),
            corners=_place(generator, look, kind), rows=int(generator.integers(48, 96)), columns=64, tiles=kind.tiles,
            cloud=f"{generator.random() * 0.4:.3f}", seed=(self._seed, number),
        )  # fmt: skip
        if kind.form in ("nga_ge", "renamed_ge"):
            return replace(scene, order=scene.order[2:11])
        return replace(scene, order=scene.order[5:11], part="0000000") if kind.form == "renamed_ik" else scene

    def item(self, scene: Scene, kind: Kind, folder: str = "") -> Item:
        """Image and members of ``scene``, below ``folder``."""
        place = self.provider.folder(scene)
        return unit(kind, scene, "/".join(filter(None, (folder, place))))

    def fresh(self) -> Item:
        """A good unit that nobody else gets: of the kind that has one image and loose metadata."""
        return self.item(*self.fresh_scene())

    def fresh_scene(self, kind: Kind | None = None) -> tuple[Scene, Kind]:
        """The same, not yet built."""
        number, self._next = self._next, self._next + self.provider.per_order
        kind = kind or next(each for each in self.provider.kinds if "xml" in " ".join(each.beside).lower())
        return self.scene(number, kind), kind

    def repeated(self) -> tuple[Scene, Kind]:
        """A good unit of the delivery that no other fault repeats."""
        self._spent += 1
        if self._spent > self._repeated:
            raise ValueError("more units are repeated than were set apart")
        number = self._spent - 1
        return self.scene(number), self.kind(number)

    def settled(self) -> bytes:
        """Path of a good file of the delivery (the first)."""
        return self.item(self.scene(0), self.kind(0)).path

    def goods(self) -> Iterator[Item]:
        """The good units with checksum sidecars for some, one set with its manifest, and the papers of each order."""
        algorithms = usable_algorithms(self.source)
        members: list[Item] = []
        order: list[Scene] = []
        for number in range(self._goods):
            scene, kind = self.scene(number), self.kind(number)
            item = self.item(scene, kind)
            order.append(scene)
            free = number >= self._repeated
            if free and takes_manifests(self.source) and number % _SIDECAR_EVERY == 3 and len(members) < _SET_FILES:
                item = self.item(scene, kind, "sets")
                members.append(item)
            yield item
            if algorithms and free and number % _SIDECAR_EVERY == 1:
                nth = number // _SIDECAR_EVERY
                for file in item.files:
                    yield sidecar(file, algorithms[nth % len(algorithms)], STYLES[nth % len(STYLES)])
            if (number + 1) % self.provider.per_order == 0 or number + 1 == self._goods:
                yield from self.provider.papers(order)
                order = []
        if members:
            yield manifest("sets/MD5SUMS", members)


def _catalog(kind: Kind, seen: datetime, word: str) -> str:
    """A catalog id of the sensor's era: hexadecimal, a UUID, GeoEye's archive id, or IKONOS's image id."""
    digest = hashlib.blake2b(word.encode(), digest_size=16).digest()
    number = int.from_bytes(digest[:6])
    if kind.form == "renamed_ik":
        return f"{seen:%Y%m%d%H%M%S}000000{number % 10**8:08d}"
    if kind.form in ("nga_ge", "renamed_ge"):
        return f"{100_000 + number % 9_000_000}"
    if kind.sensor == "WV04":
        return f"{uuid.UUID(bytes=digest, version=4)}-inv"
    start = _CAMERAS.get(kind.product[0], "104001") if kind.sensor == "WV03" else _CATALOGS[kind.sensor]
    return f"{start}{digest.hex().upper()[:8]}00"


def _place(generator: np.random.Generator, look: int, kind: Kind) -> Corners:
    longitude, latitude = float(generator.integers(-170, 170)), float(generator.integers(-60, 70))
    if kind.mapped:
        east, north = longitude + 0.1, latitude - 0.1
        return ((longitude, latitude), (east, latitude), (east, north), (longitude, north))
    if look % _PLACES == 2:
        longitude = 180.0
    if look % _PLACES == 5 and kind.tiles == 1:  # no rational polynomials can place a tile there
        latitude = 90.0 if look % 2 else -90.0
    return quadrangle(longitude, latitude, 16.0, 50.0)
