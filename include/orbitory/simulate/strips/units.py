"""Files of one image together: what NGA, the vendors and archives that renamed them put side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orbitory.simulate.items import Item
from orbitory.simulate.strips import digitalglobe, geoeye
from orbitory.simulate.strips.bundles import bundle
from orbitory.simulate.strips.images import geotiff, jpeg, nitf, pixels
from orbitory.simulate.strips.notation import pvl, xml
from orbitory.simulate.strips.polynomials import rpb
from orbitory.simulate.strips.scene import (
    Scene,
    digitalglobe_name,
    geoeye_name,
    ikonos_name,
    nga_name,
    renamed,
    renamed_short,
    tile_of,
)

#: Newer files put everything into a namespace (as the successors of DigitalGlobe write them).
_NAMESPACE = "http://xsd.vantor.com/imagery"
_CODES = {"nga_dg": "AAE_0AAAAABAABA0", "nga_ge": "GA_E0AAAAAAJABA0"}
#: Form of a name → how it is made; a tile is named in DigitalGlobe's only.
_NAMES: dict[str, Callable[[Scene, str], str]] = {
    "raw_dg": digitalglobe_name,
    "nga_dg": lambda scene, tile: nga_name(scene, digitalglobe_name(scene, tile), _CODES["nga_dg"]),
    "nga_ge": lambda scene, _: nga_name(scene, geoeye_name(scene), _CODES["nga_ge"]),
    "renamed_dg": lambda scene, tile: renamed(scene, digitalglobe_name(scene, tile)),
    "renamed_dg2": renamed_short,
    "renamed_ge": lambda scene, _: renamed(scene, geoeye_name(scene)),
    "renamed_ik": lambda scene, _: renamed(scene, ikonos_name(scene)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way in which an image and its metadata are delivered."""

    #: How the names are written; see ``names.strips``.
    form: str
    sensor: str
    product: str
    #: Endings of the image; of two the second is a twin of the first.
    images: tuple[str, ...]
    #: What stands beside it, as ``beside`` knows it.
    beside: tuple[str, ...]
    tiles: int = 1
    #: Behind the name of an image that somebody made of a vendor's.
    tail: str = ""

    @property
    def mapped(self) -> bool:
        """Whether its images lie on a map grid: level 2 and above, and what somebody made."""
        return self.product[1] != "1" or bool(self.tail)


def unit(kind: Kind, scene: Scene, folder: str = "") -> Item:
    """The image with everything beside it as members, below ``folder``."""
    place = f"{folder}/" if folder else ""
    name = _NAMES[kind.form]
    tiles = [f"R1C{n + 1}" for n in range(scene.tiles)] if scene.tiles > 1 else [""]
    component = f"_pan_{scene.part}" if kind.form == "renamed_ik" else ""
    items: list[Item] = []
    for n, tile in enumerate(tiles):
        shown, content, called = tile_of(scene, n), pixels(scene, n), f"{name(scene, tile)}{component}{kind.tail}"
        for ending in kind.images:
            made = nitf(shown, called, content) if ending.lower() == "ntf" else geotiff(shown, content, kind.mapped)
            items.append(Item(path=f"{place}{called}.{ending}".encode(), content=made))
    files = [f"{digitalglobe_name(scene, tile)}.{kind.images[0]}" for tile in tiles]
    whole = name(scene, "")
    for what in kind.beside:
        ending, text = _beside(what, scene, kind, files)
        items.append(Item(path=f"{place}{whole}{ending}".encode(), content=text))
    return items[0].with_members(items[1:])


def _beside(what: str, scene: Scene, kind: Kind, files: list[str]) -> tuple[str, bytes]:
    """What the name ends in, and the bytes."""
    image, written = kind.images[0].lower(), what.lower()
    match written:
        case "browse":
            return f"-BROWSE.{'JPG' if what.isupper() else 'jpg'}", jpeg(sum(scene.seed))
        case "thumb":
            return "-thumb.jpg", jpeg(sum(scene.seed))
        case "xml":
            return f".{what}", metadata_xml(scene, image, files)
        case "tar":
            return f".{what}", bundle(bundled(scene, image, files))
        case "pvl":
            return f".{what}", pvl(geoeye.geoeye_pvl(scene))
        case "metadata.txt":
            return f"_{what}", geoeye.ikonos_text(scene)
        case "readme.txt":
            return f"_{what.upper()}", readme(scene)
        case _:
            entries = {
                "imd": lambda: digitalglobe.imd(scene, image),
                "rpb": lambda: rpb(scene),
                "til": lambda: digitalglobe.til(scene, files),
                "att": lambda: digitalglobe.att(scene),
                "eph": lambda: digitalglobe.eph(scene),
                "geo": lambda: digitalglobe.geo(scene),
            }
            return f".{what}", pvl(entries[written]())


def metadata_xml(scene: Scene, image: str, files: list[str]) -> bytes:
    """The XML beside an image; Legion's is in a namespace."""
    namespace = _NAMESPACE if scene.sensor.startswith("LG") else ""
    return xml("isd", digitalglobe.isd(scene, image, files), namespace=namespace)


def bundled(scene: Scene, image: str, files: list[str]) -> dict[str, bytes]:
    """What NGA's TAR holds, in a folder called as the vendor calls the image."""
    if scene.product[1:3] == "4A":
        name = geoeye_name(scene)
        return {f"{name}/{name}.pvl": pvl(geoeye.geoeye_pvl(scene))}
    name = digitalglobe_name(scene)
    texts = {
        "XML": metadata_xml(scene, image, files),
        "IMD": pvl(digitalglobe.imd(scene, image)),
        "RPB": pvl(rpb(scene)),
        "TIL": pvl(digitalglobe.til(scene, files)),
        "ATT": pvl(digitalglobe.att(scene)),
        "EPH": pvl(digitalglobe.eph(scene)),
        "GEO": pvl(digitalglobe.geo(scene)),
    }
    return {f"{name}/{name}.{ending}": content for ending, content in texts.items()} | {
        f"{name}/{name}-BROWSE.JPG": jpeg(sum(scene.seed)),
        f"{name}/{name}_README.TXT": readme(scene),
    }


def readme(scene: Scene) -> bytes:
    """What stands in the README of an image."""
    vendor = digitalglobe_name(scene)
    return f"version = 1.0;\r\nproductOrderId = {scene.order}_{scene.part};\r\nproduct = {vendor};\r\n".encode()
