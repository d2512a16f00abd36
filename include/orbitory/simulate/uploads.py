"""A delivery of uploads: files of all kinds, each with the form of its sender, and faults that only forms have."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from orbitory.catalogue import Catalogue, Source
from orbitory.simulate import correlative
from orbitory.simulate.campaign import CorrelativeWorkshop
from orbitory.simulate.correlative import Generator, Kind
from orbitory.simulate.faults import COMMON, Fault
from orbitory.simulate.items import Item, checksum
from orbitory.upload_form import CLASSES, ENDING, UploadForm, written

_SENDERS = ("ada", "grace", "katherine")
_DOCTYPE = b'<!DOCTYPE upload [<!ENTITY a "user_data">]>\n'


class UploadWorkshop(CorrelativeWorkshop):
    """Makes the files of one delivery with their forms; file ``n`` is the same whatever else is made."""

    def __init__(self, catalogue: Catalogue, source: Source, seed: int) -> None:
        """Nothing is made yet."""
        super().__init__(source, seed)
        self._types = [(each.name, catalogue.keep_days(source, each)) for each in catalogue.types_of(source)]

    def item(self, number: int, kind: Kind, build: Callable[[Generator], bytes] | None = None) -> Item:
        """The ``number``-th file, of this kind, with its form."""
        data = super().item(number, kind, build)
        item = replace(data, path=_SENDERS[number % len(_SENDERS)].encode() + b"/" + data.path)
        return item.with_members([form_beside(item, self.form(item, number))])

    def form(self, item: Item, number: int) -> UploadForm:
        """What the sender of the ``number``-th file says: every second announces a checksum, every third a class."""
        product_type, most = self._types[number % len(self._types)]
        moment = correlative.day_of(np.random.default_rng([number]))
        return UploadForm(
            file=posixpath.basename(item.path).decode(),
            size=len(item.content),
            product_type=product_type,
            keep_days=min(most or 34, 34),
            sender=_SENDERS[number % len(_SENDERS)],
            created=moment,
            classification=None if number % 3 else CLASSES[number // 3 % len(CLASSES)],
            sha256=checksum("sha256", item.content) if number % 2 else None,
            title="" if number % 4 else f"Campaign {number}",
        )

    def fresh_form(self) -> tuple[Item, UploadForm]:
        """A good file that nobody else gets, and its form."""
        item = self.fresh()
        return item, self.form(item, self._next - 1)


def form_beside(item: Item, form: UploadForm) -> Item:
    """The form in its place."""
    return Item(path=item.path + ENDING.encode(), content=written(form))


def _changed(workshop: UploadWorkshop, reason: str, change: Callable[[UploadForm], UploadForm]) -> Iterator[Item]:
    """A form that says something else."""
    item, form = workshop.fresh_form()
    yield item.with_members([form_beside(item, change(form))]).meets("rejected", reason)


def _rewritten(workshop: UploadWorkshop, reason: str, change: Callable[[bytes], bytes]) -> Iterator[Item]:
    """A form that no honest program writes."""
    item, form = workshop.fresh_form()
    member = replace(form_beside(item, form), content=change(written(form)))
    yield item.with_members([member]).meets("rejected", reason)


def file_alone(workshop: UploadWorkshop) -> Iterator[Item]:
    """A file whose form has not come yet."""
    yield replace(workshop.fresh(), members=()).meets("waiting", "set")


def form_alone(workshop: UploadWorkshop) -> Iterator[Item]:
    """A form whose file has not come yet."""
    (form,) = workshop.fresh().members
    yield form.meets("waiting", "set")


def _fault(reason: str, change: Callable[[UploadForm], UploadForm]) -> Fault[UploadWorkshop]:
    return Fault(partial(_changed, reason=reason, change=change))


def _text_fault(reason: str, change: Callable[[bytes], bytes]) -> Fault[UploadWorkshop]:
    return Fault(partial(_rewritten, reason=reason, change=change))


def _after_declaration(xml: bytes) -> bytes:
    declaration, end, rest = xml.partition(b"?>\n")
    return declaration + end + _DOCTYPE + rest


FAULTS: dict[str, Fault[UploadWorkshop]] = {
    **COMMON,
    "unknown_type": _fault("policy", lambda form: replace(form, product_type="astrology")),
    "long_expiry": _fault("policy", lambda form: replace(form, keep_days=36_500)),
    "wrong_sha256": _fault("checksum", lambda form: replace(form, sha256="0" * 64)),
    "wrong_size": _fault("size", lambda form: replace(form, size=form.size + 1)),
    "other_file": _fault("metadata", lambda form: replace(form, file=f"not_{form.file}")),
    "unknown_class": _text_fault("metadata", lambda xml: xml.replace(b"</sender>", b"</sender><class>secret</class>")),
    "malformed_form": _text_fault("metadata", lambda xml: xml[: len(xml) // 2]),
    "form_with_doctype": _text_fault("policy", _after_declaration),
    "file_alone": Fault(file_alone),
    "form_alone": Fault(form_alone, files=0),
}
