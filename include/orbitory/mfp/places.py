"""Countries and data zones: boundaries that footprints are joined with, from GeoJSON files in lon/lat."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import MultiPolygon, Polygon

from orbitory.errors import ConfigurationError
from orbitory.settings import CHECKOUT
from orbitory.site import Site

#: Whatever its maker calls it; codes are shown, but nothing is keyed on them: some countries share '-99'.
_NAMES = ("name", "name_long", "admin", "country", "zone")
_CODES = ("iso_a3", "adm0_a3", "iso3")
_NUMBERS = ("zone_id", "zone", "id")
_LONGEST = 200
_MOST_BYTES = 256 << 20


def ensure_places(site: Site) -> None:
    """Fill in the boundaries that ship when there are none; what was loaded by hand stays."""
    known = site.inventory.one("places_known") or {}
    if not all(known.values()):
        load_places(site, countries=None, zones=None, replace=False)


def load_places(site: Site, *, countries: Path | None, zones: Path | None, replace: bool = True) -> dict[str, int]:
    """Replace countries and zones by those of the files, each by those that ship where there is no file.

    Without ``replace`` only what is empty is filled. Returns how many there are now of those that were written. Raises
    ConfigurationError that names file and feature; then nothing has changed.
    """
    inventory, written = site.inventory, dict[str, int]()
    with inventory.transaction():
        inventory.one("lock_places")
        known = inventory.one("places_known") or {}
        if replace or not known["countries"]:
            features = _read(countries or _shipped(site))
            rows = [(name, code, shape) for _, name, code, shape in _merged(features, by_number=False)]
            inventory.run("forget_countries")
            names, codes, shapes = (list(column) for column in zip(*rows, strict=True))
            written["countries"] = inventory.run("fill_countries", names=names, codes=codes, shapes=shapes)
            inventory.run("cut_countries")
        if replace or not known["zones"]:
            inventory.run("forget_zones")
            written["zones"] = _load_zones(site, zones)
    return written


def _load_zones(site: Site, file: Path | None) -> int:
    if file is None:
        return site.inventory.run("fill_own_zones")
    rows = [(number, name, shape) for number, name, _, shape in _merged(_read(file), by_number=True)]
    numbers, names, shapes = (list(column) for column in zip(*rows, strict=True))
    return site.inventory.run("fill_zones", zones=numbers, names=names, shapes=shapes)


def _shipped(site: Site) -> Path:
    own = site.settings.catalogue / "boundaries" / "countries.geojson"
    return own if own.is_file() else CHECKOUT / "include" / "catalogue" / "boundaries" / "countries.geojson"


#: Where it stands, properties by small letters, and shape.
_Feature = tuple[str, Mapping[str, Any], Any]


def _read(file: Path) -> list[_Feature]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ConfigurationError(f"{file} has more than {_MOST_BYTES >> 20} MiB: simplify it first")
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the boundaries {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file} is no GeoJSON: {error}") from error
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not features:
        raise ConfigurationError(
            f"{file} is no GeoJSON of features: make one with `ogr2ogr -f GeoJSON -t_srs EPSG:4326`"
        )
    return [_feature(f"{file}, feature {number}", each) for number, each in enumerate(features, 1)]


def _feature(where: str, feature: Any) -> _Feature:
    try:
        properties = {str(key).lower(): value for key, value in (feature.get("properties") or {}).items()}
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
    except (AttributeError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
        raise ConfigurationError(f"{where} has no usable geometry: {error}") from error
    if shape is None or shape.geom_type not in ("Polygon", "MultiPolygon") or shape.is_empty:
        raise ConfigurationError(f"{where}: expected a polygon, got {getattr(shape, 'geom_type', None)}")
    west, south, east, north = shape.bounds
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise ConfigurationError(
            f"{where} reaches from ({west:.7g}, {south:.7g}) to ({east:.7g}, {north:.7g}): "
            "expected longitude and latitude, cut at 180°"
        )
    return where, properties, shape


def _merged(features: Iterable[_Feature], *, by_number: bool) -> list[tuple[int, str, str | None, str]]:
    """Number (0 for countries), name, code and valid boundary as EWKB, of each number or name once."""
    parts: dict[tuple[int, str], list[Any]] = {}
    codes: dict[tuple[int, str], str | None] = {}
    for where, properties, shape in features:
        number = _number(where, properties) if by_number else 0
        name = _first(properties, _NAMES) or (str(number) if by_number else "")
        if not name or len(name) > _LONGEST or not name.isprintable():
            raise ConfigurationError(
                f"{where} has no name: expected one of {', '.join(_NAMES)}, at most {_LONGEST} letters"
            )
        key = next((known for known in parts if known[0] == number), (number, name)) if by_number else (0, name)
        parts.setdefault(key, []).append(shape)
        codes.setdefault(key, _first(properties, _CODES))
    return [(*key, codes[key], _boundary(shapes)) for key, shapes in sorted(parts.items())]


def _first(properties: Mapping[str, Any], keys: Iterable[str]) -> str | None:
    return next((str(properties[key]).strip() for key in keys if properties.get(key) not in (None, "")), None)


def _number(where: str, properties: Mapping[str, Any]) -> int:
    value = next((properties[key] for key in _NUMBERS if isinstance(properties.get(key), int)), None)
    if value is None or not 0 <= value < 1 << 31:
        raise ConfigurationError(f"{where} has no number: expected one of {', '.join(_NUMBERS)}")
    return int(value)


def _boundary(shapes: list[Any]) -> str:
    whole = shapely.union_all([shapely.make_valid(shape) for shape in shapes])
    polygons = [part for part in shapely.get_parts(whole).tolist() if isinstance(part, Polygon)]
    return str(shapely.to_wkb(shapely.set_srid(MultiPolygon(polygons), 4326), hex=True, include_srid=True))
