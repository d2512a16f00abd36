"""The papers of a vendor's order: README as text and XML, layout, licence, and outlines as shapefiles."""

from __future__ import annotations

from collections.abc import Iterator

from orbitory.simulate.items import Item
from orbitory.simulate.strips.images import jpeg
from orbitory.simulate.strips.notation import Entries, pvl, xml
from orbitory.simulate.strips.scene import Scene, digitalglobe_name
from orbitory.simulate.strips.shapes import shapefile

_OUTLINES = ("ORDER", "PRODUCT", "STRIP", "TILE")
_LICENCE = (
    b"This product is delivered under a licence for the purchaser and its affiliated users.\r\n"
    b"It may not be sold, sublicensed or published.\r\n"
)


def documents(scenes: list[Scene]) -> Iterator[Item]:
    """All that stands beside the image folders of the order of ``scenes``."""
    order = scenes[0].order
    corners = [corner for scene in scenes for corner in scene.corners]
    entries: Entries = [
        ("version", "24.06"),
        ("orderNumber", order),
        ("collectionStart", f"{scenes[0].seen:%Y-%m-%dT%H:%M:%S.%fZ}"),
        ("collectionStop", f"{scenes[-1].seen:%Y-%m-%dT%H:%M:%S.%fZ}"),
        ("numberOfParts", f"{len({scene.part for scene in scenes})}"),
        ("nwLong", f"{min(x for x, _ in corners):.8f}"),
        ("nwLat", f"{max(y for _, y in corners):.8f}"),
        ("seLong", f"{max(x for x, _ in corners):.8f}"),
        ("seLat", f"{min(y for _, y in corners):.8f}"),
    ]
    papers = {
        f"{order}_README.TXT": pvl(entries),
        f"{order}_README.XML": xml("README", entries),
        f"{order}_LAYOUT.JPG": jpeg(int(order[:12])),
        "NEXTVIEW.TXT": _LICENCE,
    }
    shapes = {f"{order}_{outline}_SHAPE": scenes[0] for outline in _OUTLINES}
    shapes |= {f"{digitalglobe_name(scene)}_PIXEL_SHAPE": scene for scene in scenes}
    for name, scene in shapes.items():
        for ending, content in shapefile(scene.corners, name).items():
            papers[f"GIS_FILES/{name}.{ending}"] = content
    for name, content in papers.items():
        yield Item(path=f"{order}/{name}".encode(), content=content)
