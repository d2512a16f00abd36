"""Faults that only strips have: damaged or hostile metadata, half units, repeated deliveries, lies that are archived.

A unit shares one fate. Of units with one key in one delivery the first in the order of (sensing time, path) wins; what
repeats another stands in a folder that sorts behind it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from orbitory.simulate.faults import COMMON, Fault
from orbitory.simulate.items import Item
from orbitory.simulate.strips.bundles import ATTACKS, bundle
from orbitory.simulate.strips.scene import Scene, digitalglobe_name
from orbitory.simulate.strips.units import Kind, bundled, metadata_xml, unit
from orbitory.simulate.strips.workshop import StripWorkshop

_AGAIN = "redelivered"
_VRT = (
    b'<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
    b"<SourceFilename>/etc/passwd</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>\n"
)
_BOMB = (
    b"<!DOCTYPE isd ["
    + b'<!ENTITY a0 "ha">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12))
)
_FOREIGN = b'<!DOCTYPE isd SYSTEM "file:///etc/passwd" ['


def _loose(workshop: StripWorkshop) -> tuple[Scene, Kind]:
    """A fresh image with nothing but its XML beside it."""
    scene, kind = workshop.fresh_scene()
    return scene, replace(kind, beside=tuple(each for each in kind.beside if each.lower() == "xml"))


def _with_xml(workshop: StripWorkshop, change: Callable[[bytes], bytes]) -> Item:
    """A fresh image whose XML is changed."""
    item = workshop.item(*_loose(workshop))
    (member,) = item.members
    return item.with_members([replace(member, content=change(member.content))])


def truncated_xml(workshop: StripWorkshop) -> Iterator[Item]:
    """The transfer of the metadata broke off."""
    yield _with_xml(workshop, lambda xml: xml[: len(xml) * 2 // 3]).meets("rejected", "metadata")


def empty_xml(workshop: StripWorkshop) -> Iterator[Item]:
    """Of the metadata nothing but the name came."""
    yield _with_xml(workshop, lambda _: b"").meets("rejected", "size")


def _doctype(workshop: StripWorkshop, prologue: bytes, inside: bytes) -> Iterator[Item]:
    def hostile(xml: bytes) -> bytes:
        head, root, rest = xml.partition(b"<isd>")
        return head + prologue + b"]>\n" + root + inside + rest

    yield _with_xml(workshop, hostile).meets("rejected", "policy")


def _with_tar(workshop: StripWorkshop, build: Callable[[dict[str, bytes]], bytes]) -> Item:
    """A fresh image with nothing but a TAR beside it."""
    scene, kind = workshop.fresh_scene()
    kind = replace(kind, beside=("tar",))
    item = workshop.item(scene, kind)
    (member,) = item.members
    files = bundled(scene, kind.images[0].lower(), [f"{digitalglobe_name(scene)}.{kind.images[0]}"])
    return item.with_members([replace(member, content=build(files))])


def _attack(workshop: StripWorkshop, name: str, reason: str = "policy") -> Iterator[Item]:
    yield _with_tar(workshop, ATTACKS[name]).meets("rejected", reason)


def truncated_tar(workshop: StripWorkshop) -> Iterator[Item]:
    """The transfer of the bundle broke off."""

    def cut(files: dict[str, bytes]) -> bytes:
        whole = bundle(files)
        return whole[: len(whole) // 3]

    yield _with_tar(workshop, cut).meets("rejected", "structure")


def vrt_as_tif(workshop: StripWorkshop) -> Iterator[Item]:
    """A recipe that makes GDAL read other files, under the name of an image."""
    scene, kind = _loose(workshop)
    item = workshop.item(scene, replace(kind, images=("tif",)))
    yield replace(item, content=_VRT).meets("rejected", "type")


def trailing_bytes(workshop: StripWorkshop) -> Iterator[Item]:
    """Foreign bytes behind the image: NITF states its length, TIFF does not, so that only a finding tells."""
    item = workshop.fresh()
    longer = replace(item, content=item.content + b"\r\n--boundary--\r\n" * 32)
    yield longer.meets("rejected", "structure") if item.path.lower().endswith(b".ntf") else longer


def image_alone(workshop: StripWorkshop) -> Iterator[Item]:
    """Its metadata have not come yet."""
    yield replace(workshop.fresh(), members=()).meets("waiting", "set")


def bundle_alone(workshop: StripWorkshop) -> Iterator[Item]:
    """Metadata whose image has not come yet."""
    (member,) = _with_tar(workshop, bundle).members
    yield member.meets("waiting", "set")


def unrecognised_name(workshop: StripWorkshop) -> Iterator[Item]:
    """Named after the catalog id and the day alone: no form has that."""
    scene, kind = _loose(workshop)
    known = posixpath.splitext(workshop.item(scene, kind).path)[0]
    other = posixpath.join(posixpath.dirname(known), f"{scene.sensor}_{scene.seen:%Y%m%d}_{scene.catalog}".encode())
    yield workshop.item(scene, kind).renamed(lambda path: path.replace(known, other)).meets("rejected", "unrecognised")


def renamed_copy(workshop: StripWorkshop) -> Iterator[Item]:
    """The first strip once more, byte for byte, as an archive would call it."""
    scene, kind = workshop.repeated()
    item = workshop.item(scene, kind)
    other = unit(replace(kind, form="renamed_dg"), scene, _AGAIN)
    same = zip(other.files, item.files, strict=True)
    first, *members = (replace(file, content=original.content) for file, original in same)
    yield first.with_members(members).meets("duplicate")


def duplicate(workshop: StripWorkshop) -> Iterator[Item]:
    """The same unit once more, in another folder."""
    yield workshop.item(*workshop.repeated(), _AGAIN).meets("duplicate")


def conflict(workshop: StripWorkshop) -> Iterator[Item]:
    """Other pixels and metadata under the same names, made at the same time."""
    scene, kind = workshop.repeated()
    yield workshop.item(replace(scene, seed=(*scene.seed, 1)), kind, _AGAIN).meets("conflict", "conflict")


def _made_again(workshop: StripWorkshop, days: int) -> Iterator[Item]:
    scene, kind = workshop.repeated()
    other = replace(scene, seed=(*scene.seed, 2), made=scene.made + timedelta(days=days), cloud="0.500")
    yield workshop.item(other, kind, _AGAIN)


def reorder(workshop: StripWorkshop) -> Iterator[Item]:
    """One image under two orders, as it was really sold: other rows, other first line, two granules.

    Values of WorldView-2's 09DEC06145817-P1BS, parts P002 of orders 052869840050_01 and 500060999100_01; the rows of
    our small pictures are 1/512 of the real ones.
    """
    _, kind = workshop.fresh_scene()
    kind = replace(kind, product="P1BS", images=("ntf",), beside=("xml",))
    for first in _ORDERS:
        yield workshop.item(replace(first, seed=(1 + workshop.draw(1 << 30),)), kind)


_ORDERS = (
    Scene(
        sensor="WV02", catalog="1030010002BB6200", product="P1BS", order="052869840050_01", part="P002",
        seen=datetime(2009, 12, 6, 14, 58, 17, 839376, tzinfo=UTC), made=datetime(2012, 12, 13, 1, 1, 52, tzinfo=UTC),
        corners=(
            (-70.54845267, -33.51641899), (-70.73698223, -33.51405506),
            (-70.73663249, -33.36273680), (-70.54931953, -33.36469749),
        ),
        rows=66, columns=68,
    ),
    Scene(
        sensor="WV02", catalog="1030010002BB6200", product="P1BS", order="500060999100_01", part="P002",
        seen=datetime(2009, 12, 6, 14, 58, 17, 442576, tzinfo=UTC), made=datetime(2013, 3, 25, 20, 6, 58, tzinfo=UTC),
        corners=(
            (-70.54846912, -33.48181331), (-70.73687673, -33.47951220),
            (-70.73657825, -33.34312821), (-70.54937875, -33.34504727),
        ),
        rows=60, columns=68, cloud="0.013",
    ),
)  # fmt: skip


def _told(workshop: StripWorkshop, other: Callable[[Scene], Scene]) -> Iterator[Item]:
    """Metadata that say something else than the name, or nothing usable: archived with a finding."""
    scene, kind = _loose(workshop)
    item = workshop.item(scene, kind)
    image = kind.images[0].lower()
    files = [posixpath.basename(item.path).decode()]
    (member,) = item.members
    yield item.with_members([replace(member, content=metadata_xml(other(scene), image, files))])


FAULTS: dict[str, Fault[StripWorkshop]] = {
    **COMMON,
    "trailing_bytes": Fault(trailing_bytes),
    "truncated_xml": Fault(truncated_xml),
    "empty_xml": Fault(empty_xml),
    "xml_bomb": Fault(partial(_doctype, prologue=_BOMB, inside=b"<IMD>&a11;</IMD>")),
    "xml_foreign": Fault(partial(_doctype, prologue=_FOREIGN, inside=b"")),
    "truncated_tar": Fault(truncated_tar),
    **{name: Fault(partial(_attack, name=name)) for name in ATTACKS},
    # What announces more than the file holds is cut off.
    "tar_huge": Fault(partial(_attack, name="tar_huge", reason="structure")),
    "vrt_as_tif": Fault(vrt_as_tif),
    "image_alone": Fault(image_alone),
    "bundle_alone": Fault(bundle_alone, files=0),
    "unrecognised_name": Fault(unrecognised_name),
    "duplicate": Fault(duplicate, repeats=True),
    "conflict": Fault(conflict, repeats=True),
    "newer_version": Fault(partial(_made_again, days=30), repeats=True),
    "older_late": Fault(partial(_made_again, days=-30), repeats=True),
    "reorder": Fault(reorder, files=2),
    "cloud_unknown": Fault(partial(_told, other=lambda scene: replace(scene, cloud="-999.000"))),
    "cloud_in_percent": Fault(partial(_told, other=lambda scene: replace(scene, cloud="12.0"))),
    "catalog_disagrees": Fault(partial(_told, other=lambda scene: replace(scene, catalog="1020010001E9B500"))),
}
#: Of NGA alone: the first strip comes under NGA's own name.
NGA_FAULTS: dict[str, Fault[StripWorkshop]] = {
    "renamed_copy": Fault(renamed_copy, repeats=True),
    **FAULTS,
}
