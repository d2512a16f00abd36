"""What the parts of a strip's name mean: scene, strip, sensor, time, and where they contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from orbitory.catalogue import Catalogue, ProductType, Source
from orbitory.errors import DataError
from orbitory.model import Identity
from orbitory.names.products import product_type
from orbitory.names.strip_files import UNIT_ROLES
from orbitory.names.strip_keys import strip_keys
from orbitory.names.strip_times import times
from orbitory.names.strips import read_strip

#: First letter of a product code → what the bands are, as the master footprint says it.
_SPECTRA = {"P": "Panchromatic", "M": "Multispectral", "S": "Pan-sharpened", "A": "SWIR", "C": "CAVIS"}
_BANDS = {"PAN": "P", **dict.fromkeys(("BLU", "GRN", "RED", "NIR", "RGB", "BGRN", "MSI"), "M")}
_TYPES = {"P": "strip_pan", "M": "strip_msi"}
#: GeoEye-1 was planned as OrbView-5, and NGA still calls it so.
_CALLED = {"OV05": "GE01"}
_CRAFT = {"5V": "GE01", "3V": "OV03"}
#: Only WorldView-3 has these bands, and the fourth digit of its catalog ids is the same letter.
_ONLY = {"A": "WV03", "C": "WV03"}
#: WorldView-1 has one band.
_PAN_ONLY = "WV01"
#: First digits of a catalog id of 16 hex digits → sensor; Legion's begin with B1.
_PREFIXES = {"101": "QB02", "102": "WV01", "103": "WV02", "104": "WV03", "105": "GE01", "106": "WV04"}
_ORDER = "order"


def strip_identity(name: str, source: Source, catalogue: Catalogue) -> Identity:
    """What the file name ``name`` tells by the grammar of ``source``, ``nga`` or ``maxar``.

    ``details`` hold, where the name tells them: the keys of ``strip_keys.Keys``; catalog_id, order_id (with the part),
    spec_type and level under the names of the master footprint; part_role, what the file is for, finer than ``role``;
    order, part, tile, band, tail and ending; and in ``contradictions`` which of catalog_id, sensor, product and time
    disagree with another part of the name, with catalog_sensor and vendor_time as facts. A date without time spans its
    day.

    Raises DataError ``unrecognised`` or ``time``.
    """
    parts = read_strip(name, source.grammar)
    code = _code(parts)
    sensor = _sensor(parts, code)
    kind = _kind(parts, code, source, catalogue)
    if sensor and sensor not in (kind.sensor, *kind.sensors):
        raise DataError(
            "unrecognised",
            f"sensor {sensor} has no product {code or kind.name}: add it under sensors of "
            f"catalogue/products/{kind.name}.toml if it has",
        )
    taken, vendor_time, agree = times(parts)
    catalog = _catalog_id(parts)
    keys = asdict(strip_keys(name.rpartition("/")[2], parts, sensor, code, catalog))
    unit = keys.pop("unit")
    told = {**keys, **_told(parts, sensor, code), **_catalog(parts, catalog, sensor, code)}
    if vendor_time and vendor_time.is_moment and vendor_time != taken:
        told["vendor_time"] = vendor_time.start.isoformat()
    wrong = {
        "catalog_id": bool(told.pop("catalog_conflict", "")),
        "sensor": "craft" in parts and _CRAFT[parts["craft"].upper()] != sensor,
        "product": _lacks(sensor, code[:1]),
        "time": not agree,
    }
    told["contradictions"] = " ".join(each for each, is_so in wrong.items() if is_so)
    return Identity(
        form=parts["form"],
        product_type=kind.name,
        products=(code,) if code else (),
        sensor=sensor or kind.sensor,
        platform=sensor,
        sensing_start=taken.start if taken else None,
        sensing_end=taken.end if taken else None,
        details={key: value for key, value in told.items() if value},
        unit=unit,
        role=UNIT_ROLES[parts["role"]],
    )


def strip_key(identity: Identity) -> str:
    """Key of the granule in a strip's file: the image by its vendor's name, a derived file, or an order's documents."""
    return identity.details["granule_key"]


def family(identity: Identity) -> str:
    """What copies of a unit share with it, however they were renamed; empty for a file that stands alone."""
    return identity.details.get("family", "") or identity.unit


def _code(parts: Mapping[str, str]) -> str:
    """The product code of four letters; GeoEye's is put together as archives do: band, level, mono or stereo."""
    if "mono" in parts:
        return f"{parts['band']}{parts['level']}{parts['mono']}".upper()
    return parts.get("product", "").upper()


def _spectrum(parts: Mapping[str, str], code: str) -> str:
    """P, M, S, A or C; empty when the name does not tell."""
    letter = code[:1] or _BANDS.get(parts.get("band", "").upper(), "")
    return letter if letter in _SPECTRA else ""


def _sensor(parts: Mapping[str, str], code: str) -> str:
    """The satellite; empty when the name does not tell, as DigitalGlobe's own names do not."""
    if called := parts.get("sensor", "").upper():
        return _CALLED.get(called, called)
    if craft := parts.get("craft", "").upper():
        return _CRAFT[craft]
    return "IK01" if parts["form"] == "raw_ik" else _ONLY.get(code[:1], "")


def _lacks(sensor: str, letter: str) -> bool:
    """Whether the satellite has no such bands."""
    return bool(sensor) and (sensor != _ONLY.get(letter, sensor) or (sensor == _PAN_ONLY and letter in ("M", "S")))


def _kind(parts: Mapping[str, str], code: str, source: Source, catalogue: Catalogue) -> ProductType:
    role = parts["role"]
    if role == "derived":
        return _type_called("strip_derived", parts, source, catalogue)
    if parts["form"] == _ORDER and UNIT_ROLES[role] != "document":
        raise DataError("unrecognised", f"not a strip name: an order's own files are documents, this is {role}")
    if parts["form"] == _ORDER or role == "shape":
        return _type_called("strip_order", parts, source, catalogue)
    if code:
        return product_type(code, source, catalogue)
    return _type_called(_TYPES.get(_spectrum(parts, code), "strip_other"), parts, source, catalogue)


def _type_called(name: str, parts: Mapping[str, str], source: Source, catalogue: Catalogue) -> ProductType:
    if name in source.products:
        return catalogue.product_type(name)
    raise DataError(
        "unrecognised",
        f"a {parts['role']} file of form {parts['form']} (behind the scene {parts['tail'] or 'nothing'!r}) is of type "
        f"{name}, which catalogue/sources/{source.name}.toml does not list under products",
    )


def _told(parts: Mapping[str, str], sensor: str, code: str) -> dict[str, str]:
    order, part = parts.get("order", ""), parts.get("part", "").upper()
    called = parts.get("sensor", "").upper()
    return {
        "order_id": f"{order}_{part}" if order and part else order,
        "order": order,
        "part": part,
        "tile": parts.get("tile", "").upper(),
        "level": code[1:3],
        "spec_type": _SPECTRA.get(_spectrum(parts, code), ""),
        "band": parts.get("band", "").upper(),
        "part_role": parts["role"],
        "tail": parts["tail"],
        "ending": parts["ending"],
        "nga_code": parts.get("code", "").upper(),
        "called": called if called != sensor else "",
    }


def _catalog_id(parts: Mapping[str, str]) -> str:
    """As the catalog of its era writes it: hex digits in capitals, a UUID in small letters, GeoEye's without zeros."""
    written = parts.get("catalog") or parts.get("archive", "").lstrip("0")
    return written.lower() if "-" in written else written.upper()


def _catalog(parts: Mapping[str, str], catalog: str, sensor: str, code: str) -> dict[str, str]:
    """The catalog id, its era, and the sensor that it speaks of when that is another one."""
    if not catalog:
        return {}
    if "-" in catalog:
        return {"catalog_id": catalog, "catalog_era": "uuid"}
    if not parts["form"].startswith("renamed_dg"):
        archive = parts.get("archive", "").lstrip("0")
        conflict = "catalog_id" if archive and archive != catalog.lstrip("0") else ""
        return {"catalog_id": catalog, "catalog_era": "decimal", "catalog_conflict": conflict}
    told = {"catalog_id": catalog, "catalog_era": "hex"}
    speaks_of = _PREFIXES.get(catalog[:3], "LG" if catalog.startswith("B1") else "")
    letters = [letter if letter in _ONLY else "" for letter in (catalog[3], code[:1])]
    if sensor.startswith(speaks_of) and (speaks_of != _ONLY["A"] or letters[0] == letters[1]):
        return told
    return {**told, "catalog_sensor": speaks_of, "catalog_conflict": "catalog_id"}
