"""Under which names a strip's files are known: scene and strip as archives call them, unit, family and granule key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: What GeoEye writes for a satellite before the date.
_CRAFT = {"GE01": "5V", "OV03": "3V"}
_RAW_IN_SMALL = ("raw_ik", "renamed_ik", "renamed_ik2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """All of them for one file; those that its name does not tell are empty."""

    #: As the master footprint names an image, and the strip that it is a part of.
    scene_id: str
    strip_id: str
    #: The vendor's own name of the image in one spelling, with order, part and tile, whatever was put around it.
    vendor_id: str
    #: ``vendor_id`` without tile or component: metadata and images with the same one belong together.
    vendor_stem: str
    #: The strip by its vendor's name alone: product, order and day. The same for all its images and for all copies.
    family: str
    #: ``vendor_stem`` with what was put around it, so that copies under two kinds of names are two units.
    unit: str
    granule_key: str


def strip_keys(base: str, parts: Mapping[str, str], sensor: str, code: str, catalog: str) -> Keys:
    """Keys of the file ``base`` with the ``parts`` of its name. ``strip_id`` is written as NCCS's footprints do."""
    order = parts.get("order", "")
    vendor = _vendor(parts, sensor)
    around = (parts.get("sensor", "").upper(), catalog if "time" in parts else "", parts.get("code", "").upper())
    family = _family(parts, sensor)
    stem = f"PO_{order}" if parts["form"].endswith("_ik") else _vendor({**parts, "tile": ""}, sensor)
    unit, key = "/".join(filter(None, ("strip", stem, *around))), f"strip/{vendor}"
    if parts["role"] == "derived":
        family, unit, key = "", "", f"strip/derived/{base}"
    elif parts["form"] == "order" or parts["role"] == "shape":
        family = unit = key = f"order/{vendor if parts['form'] == 'order' else order or vendor}"
    elif parts["role"] in ("readme", "layout", "licence", "delivery"):
        key = "/".join(filter(None, ("order", order, vendor)))
    return Keys(
        scene_id=_scene(parts, vendor, catalog),
        strip_id="_".join(filter(None, (sensor, catalog, code, order))) if sensor and catalog else "",
        vendor_id=vendor,
        vendor_stem=stem,
        family=family,
        unit=unit,
        granule_key=key,
    )


def _vendor(parts: Mapping[str, str], sensor: str) -> str:
    """In capitals. Names that tell no vendor's name of their own are told apart by the sensor."""
    written = parts["vendor"].upper()
    match parts["form"].rpartition("_")[2]:
        case "dg" | "dg2":
            last = f"{parts['order']}_{parts['part']}" if "order" in parts else parts["catalog"]
            tile = f"_{parts['tile']}" if parts.get("tile") else ""
            return f"{parts['stamp']}-{parts['product']}{tile}-{last}".upper()
        case "ge2":
            return _CRAFT.get(sensor, f"{sensor}/") + written
        case "any":
            return f"{sensor}/{written}"
    return written


def _family(parts: Mapping[str, str], sensor: str) -> str:
    match parts["form"].rpartition("_")[2]:
        case "dg":
            told = f"{parts['stamp'][:7]}-{parts['product']}-{parts['order']}"
        case "dg2":
            told = f"{parts['product']}-{parts['catalog']}"
        case "ge" | "ge2":
            craft = parts.get("craft") or _CRAFT.get(sensor, sensor)
            told = "".join((craft, *(parts[each] for each in ("date", "band", "archive", "level", "kind"))))
            told = f"{told}-{parts['order']}"
        case "ik":
            told = f"PO_{parts['order']}"
        case _:
            told = _vendor(parts, sensor)
    return f"strip/{told.upper()}"


def _scene(parts: Mapping[str, str], vendor: str, catalog: str) -> str:
    form = parts["form"]
    called = parts.get("sensor", "").upper()
    if form in _RAW_IN_SMALL:
        vendor = parts["vendor"].lower() if form != "renamed_ik2" else parts["vendor"]
    elif form in ("renamed_ge2", "nga_any"):
        vendor = parts["vendor"].upper()
    if not form.startswith("renamed"):
        return "" if form == "order" else vendor
    return "_".join((called, *((parts["time"], catalog) if "time" in parts else ()), vendor))
