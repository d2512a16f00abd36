"""A delivery of JPSS granules: contiguous passes of two satellites and two eras, and faults that only granules have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from orbitory.catalogue import Catalogue, Source
from orbitory.errors import ConfigurationError
from orbitory.simulate.builder import JpssBuilder, without_products
from orbitory.simulate.faults import COMMON, Fault, takes_manifests, usable_algorithms
from orbitory.simulate.items import STYLES, Item, manifest, sidecar
from orbitory.simulate.jpss import BLOCK_1, BLOCK_2, Era, JpssFile, granule_number
from orbitory.simulate.orbit import TRACKS
from orbitory.simulate.products import PRODUCTS

#: Files of one pass that come as a set with a folder manifest.
_SET_FILES = 8
#: Every so many files one has a checksum sidecar.
_SIDECAR_EVERY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One kind of file, granule after granule from where the satellite stands at ``argument_deg`` of its orbit."""

    platform: str
    products: tuple[str, ...]
    era: Era = BLOCK_2
    origin: str = "noac"
    count: int = 1
    argument_deg: float = 0.0
    longitude_deg: float = 180.0
    #: Granules before that place at which it begins.
    lead: int = 0


#: NOAA-20 comes up over the antimeridian, S-NPP in Block 1 over the pole, S-NPP in Block 2 over Africa.
PASSES = (
    Pass(platform="j01", products=("SVM01",)),
    Pass(platform="j01", products=("SATMS",)),
    Pass(platform="j01", products=("GCRSO",)),
    Pass(platform="j01", products=("SOMTC",)),
    Pass(platform="j01", products=("GMTCO",)),
    Pass(platform="npp", products=("GMODO", "SVM01"), era=BLOCK_1, origin="noaa", count=4, argument_deg=90.0, lead=1),
    Pass(platform="j01", products=("GATMO",)),
    Pass(platform="j01", products=("SCRIS",)),
    Pass(platform="npp", products=("GCRSO",), era=BLOCK_1, origin="noaa", argument_deg=90.0),
    Pass(platform="npp", products=("SVDNB",), origin="nobu", argument_deg=20.0, longitude_deg=15.0),
    Pass(platform="npp", products=("SOMPS",), origin="nobc", argument_deg=20.0, longitude_deg=15.0),
    Pass(platform="npp", products=("RNSCA", "RVIRS"), origin="nobu", argument_deg=20.0, longitude_deg=15.0),
)
#: First day and number of days from which a delivery draws its own, for satellite and era.
_DAYS = {
    ("j01", BLOCK_2): (datetime(2018, 3, 1, tzinfo=UTC), 2100),
    ("npp", BLOCK_2): (datetime(2018, 3, 1, tzinfo=UTC), 2100),
    ("npp", BLOCK_1): (datetime(2012, 3, 1, tzinfo=UTC), 1300),
}


class JpssWorkshop:
    """Makes the files of one delivery; file ``n`` is the same whatever else is made."""

    def __init__(self, catalogue: Catalogue, source: Source, seed: int, granule_bytes: int) -> None:
        """Raises ConfigurationError when the source takes none of the products that can be simulated."""
        self.source = source
        self._seed = seed
        self._generator = np.random.default_rng(seed)
        self._builder = JpssBuilder(granule_bytes)
        self.passes = [each for each in PASSES if all(catalogue.find_product(source, name) for name in each.products)]
        if not self.passes:
            known = ", ".join(sorted({name for each in PASSES for name in each.products}))
            raise ConfigurationError(f"source {source.name} lists none of the products that can be simulated: {known}")
        days = {key: first + timedelta(days=self.draw(span)) for key, (first, span) in _DAYS.items()}
        self._starts = []
        for each in self.passes:
            moment = TRACKS[each.platform].passing(days[each.platform, each.era], each.argument_deg, each.longitude_deg)
            self._starts.append(granule_number(PRODUCTS[each.products[-1]].instrument, moment) - each.lead)
        self._goods = self._next = self._spent = 0
        self._repeated = 0

    def draw(self, count: int) -> int:
        """A number from 0 to ``count - 1``."""
        return int(self._generator.integers(count))

    def divide(self, goods: int, repeated: int) -> None:
        """The first ``goods`` files are good; faults repeat the first ``repeated`` of them and get the rest fresh."""
        self._goods = self._next = goods
        self._repeated = repeated

    def file(self, number: int) -> JpssFile:
        """The ``number``-th file: passes take turns, each with its next granules."""
        turn, each = divmod(number, len(self.passes))
        chosen = self.passes[each]
        first = self._starts[each] + turn * chosen.count
        file = self._stamped(chosen, chosen.products, first)
        partner = file.lead.geolocation
        if partner and len(chosen.products) == 1:
            file = replace(file, partner=self._stamped(chosen, (partner,), first).name)
        return file

    def item(self, file: JpssFile, folder: str = "") -> Item:
        """Its bytes under its name, by satellite and day unless a folder is given."""
        begin = file.granules(file.lead)[0].begin
        path = f"{folder or f'{file.platform}/{begin:%Y%m%d}'}/{file.name}"
        return Item(path=path.encode(), content=self._builder.build(file))

    def fresh(self) -> Item:
        """A good file that nobody else gets."""
        return self.item(self.fresh_file())

    def fresh_file(self) -> JpssFile:
        """The same, not yet built."""
        self._next += 1
        return self.file(self._next - 1)

    def repeated(self) -> JpssFile:
        """A good file of the delivery, alone under its name, that no other fault repeats."""
        self._spent += 1
        if self._spent > self._repeated:
            raise ValueError("more files are repeated than were set apart")
        return self.file(self._spent - 1)

    def settled(self) -> bytes:
        """Path of a good file of the delivery (the first)."""
        return self.item(self.file(0)).path

    def goods(self) -> Iterator[Item]:
        """The good files with their sidecars, and one set with its manifest."""
        algorithms = usable_algorithms(self.source)
        members: list[Item] = []
        together = min(3, len(self.passes) - 1) if takes_manifests(self.source) else None
        for number in range(self._goods):
            turn, each = divmod(number, len(self.passes))
            if each == together and turn < _SET_FILES and number >= self._repeated:
                members.append(self.item(self.file(number), "sets/complete"))
                yield members[-1]
                continue
            item = self.item(self.file(number))
            yield item
            if algorithms and number >= self._repeated and number % _SIDECAR_EVERY == 1:
                nth = number // _SIDECAR_EVERY
                yield sidecar(item, algorithms[nth % len(algorithms)], STYLES[nth % len(STYLES)])
        if members:
            yield manifest("sets/complete/MD5SUMS", members)

    def _stamped(self, chosen: Pass, products: tuple[str, ...], first: int) -> JpssFile:
        """With creation times that depend on nothing but the seed and the granule: partners name each other."""
        word = f"{self._seed}/{chosen.platform}/{chosen.origin}/{'-'.join(products)}/{first}"
        delay, packing = np.frombuffer(hashlib.blake2b(word.encode(), digest_size=16).digest(), np.uint64)
        # The epoch serves until the granules are known.
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        file = JpssFile(
            products=products, platform=chosen.platform, era=chosen.era, first=first, count=chosen.count,
            origin=chosen.origin, created=epoch, written=epoch,
        )  # fmt: skip
        created = file.granules(file.lead)[-1].end + timedelta(hours=2, microseconds=int(delay % 3_600_000_000))
        written = created + timedelta(minutes=5, microseconds=int(packing % 1_200_000_000))
        return replace(file, created=created, written=written)


def trailing_garbage(workshop: JpssWorkshop) -> Iterator[Item]:
    """A good file with foreign bytes behind its end."""
    item = workshop.fresh()
    yield replace(item, content=item.content + b"\r\n--boundary--\r\n" * 32).meets("rejected", "structure")


def unrecognised_name(workshop: JpssWorkshop) -> Iterator[Item]:
    """The form of pre-launch files: six-digit times, a short creation stamp, a domain in capitals."""
    file = workshop.fresh_file()
    name = file.name
    old = "_".join(
        part[:7] if part[0] in "te" else part[:15] if part[0] == "c" else part for part in name.split("_")[:-2]
    )
    item = workshop.item(file)
    yield replace(item, path=item.path.replace(name.encode(), f"{old}_den_OPS_SEG.h5".encode())).meets(
        "rejected", "unrecognised"
    )


def duplicate(workshop: JpssWorkshop) -> Iterator[Item]:
    """The same file once more, in another folder."""
    yield workshop.item(workshop.repeated(), "redelivered").meets("duplicate")


def conflict(workshop: JpssWorkshop) -> Iterator[Item]:
    """Another content under the same name, granule, version and creation time."""
    file = replace(workshop.repeated(), percent_missing=12.5)
    yield workshop.item(file, "redelivered").meets("conflict", "conflict")


def newer_version(workshop: JpssWorkshop) -> Iterator[Item]:
    """The granule was made again: both versions stay, the newer one is shown."""
    file, day = workshop.repeated(), timedelta(days=1)
    yield workshop.item(replace(file, version="A2", created=file.created + day, written=file.written + day))


def older_late(workshop: JpssWorkshop) -> Iterator[Item]:
    """An edition made earlier than the one that is there: kept, but never shown as current."""
    file, hour = workshop.repeated(), timedelta(hours=1)
    yield workshop.item(replace(file, created=file.created - hour, written=file.written - hour))


def repackaged(workshop: JpssWorkshop) -> Iterator[Item]:
    """The same granule compressed and not: other bytes, another name, nothing new; both files stay."""
    file = workshop.repeated()
    origin = file.origin[:3] + ("u" if file.deflated else "c")
    yield workshop.item(replace(file, origin=origin, written=file.written + timedelta(minutes=20)))


def missing_metadata(workshop: JpssWorkshop) -> Iterator[Item]:
    """A readable container that says nothing about its granules."""
    file = workshop.fresh_file()
    yield replace(workshop.item(file), content=without_products(file)).meets("rejected", "metadata")


def fill_times(workshop: JpssWorkshop) -> Iterator[Item]:
    """Fill values where the sensing times belong."""
    yield workshop.item(replace(workshop.fresh_file(), without_times=True)).meets("rejected", "time")


def _one_final_name(workshop: JpssWorkshop) -> str | None:
    if workshop.source.duplicates == "skip":
        return "the source's policy for duplicates is skip"
    return "the storage template keeps the folder" if "{folder}" in workshop.source.storage else None


def _late_comers_stay(workshop: JpssWorkshop) -> str | None:
    return None if workshop.source.late == "archive" else "the source's policy for late comers is not archive"


def _block_2_first(workshop: JpssWorkshop) -> str | None:
    return (
        None if workshop.passes[0].era is BLOCK_2 else "the source lists no product of Block 2.0 that can be simulated"
    )


#: Repackaging stands first of those that repeat: the first file is always one that can be packaged otherwise.
FAULTS: dict[str, Fault[JpssWorkshop]] = {
    **COMMON,
    "trailing_garbage": Fault(trailing_garbage),
    "unrecognised_name": Fault(unrecognised_name),
    "repackaged": Fault(repackaged, repeats=True, refuses=_block_2_first),
    "duplicate": Fault(duplicate, repeats=True),
    "conflict": Fault(conflict, repeats=True, refuses=_one_final_name),
    "newer_version": Fault(newer_version, repeats=True),
    "older_late": Fault(older_late, repeats=True, refuses=_late_comers_stay),
    "missing_metadata": Fault(missing_metadata),
    "fill_times": Fault(fill_times),
}
