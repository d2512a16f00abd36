"""A delivery of correlative data: all kinds in turn, each in its folder, and the faults that need no granules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from orbitory.catalogue import Source
from orbitory.simulate import correlative
from orbitory.simulate.correlative import KINDS, Generator, Kind
from orbitory.simulate.faults import COMMON, Fault, takes_manifests, usable_algorithms
from orbitory.simulate.items import STYLES, Item, manifest, sidecar

_SET_FILES = 8
_SIDECAR_EVERY = 4


class CorrelativeWorkshop:
    """Makes the files of one delivery; file ``n`` is the same whatever else is made."""

    def __init__(self, source: Source, seed: int) -> None:
        """Nothing is made yet."""
        self.source = source
        self._seed = seed
        self._generator = np.random.default_rng(seed)
        self._goods = self._next = 0

    def draw(self, count: int) -> int:
        """A number from 0 to ``count - 1``."""
        return int(self._generator.integers(count))

    def divide(self, goods: int, repeated: int) -> None:
        """The first ``goods`` files are the good ones; keys are paths here, so none can be ``repeated``."""
        if repeated:
            raise ValueError(f"expected no repeated files, got {repeated}")
        self._goods = self._next = goods

    def item(self, number: int, kind: Kind, build: Callable[[Generator], bytes] | None = None) -> Item:
        """The ``number``-th file, of this kind."""
        generator = np.random.default_rng([self._seed, number])
        day = correlative.day_of(generator)
        path = f"{kind.folder}/{kind.prefix}_{number:06d}_{day:%Y%m%d}{kind.suffix}"
        return Item(path=path.encode(), content=(build or kind.build)(generator))

    def fresh(self, build: Callable[[Generator], bytes] | None = None) -> Item:
        """A good HDF5 file that nobody else gets."""
        self._next += 1
        return self.item(self._next - 1, KINDS[0], build)

    def settled(self) -> bytes:
        """Path of a good file of the delivery (the first)."""
        return self.item(0, KINDS[0]).path

    def goods(self) -> Iterator[Item]:
        """The good files with their sidecars, and the text files as a set with its manifest."""
        algorithms = usable_algorithms(self.source)
        members: list[Item] = []
        for number in range(self._goods):
            kind = KINDS[number % len(KINDS)]
            item = self.item(number, kind)
            yield item
            if algorithms and number % _SIDECAR_EVERY == 1:
                nth = number // _SIDECAR_EVERY
                yield sidecar(item, algorithms[nth % len(algorithms)], STYLES[nth % len(STYLES)])
            elif kind.name == "text" and len(members) < _SET_FILES:
                members.append(item)
        if members and takes_manifests(self.source):
            yield manifest("stations/MD5SUMS", members)


def _special(workshop: CorrelativeWorkshop, *, build: Callable[[Generator], bytes], reason: str = "") -> Iterator[Item]:
    item = workshop.fresh(build)
    yield item.meets("rejected", reason) if reason else item


FAULTS: dict[str, Fault[CorrelativeWorkshop]] = {
    **COMMON,
    "external_link": Fault(partial(_special, build=correlative.linked)),
    "external_raw": Fault(partial(_special, build=correlative.raw_storage, reason="policy")),
    "virtual_dataset": Fault(partial(_special, build=correlative.virtual, reason="policy")),
}
