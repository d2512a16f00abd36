"""DigitalGlobe's metadata of one image: IMD, TIL, GEO, EPH, ATT and the XML that holds them all.

Keys, order and spelling as in published IMD files of WorldView-2 and in the Imagery Support Data documentation 1.1.2.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from orbitory.simulate.strips.notation import Entries, Text
from orbitory.simulate.strips.polynomials import band_id, rpb
from orbitory.simulate.strips.scene import Scene

_CORNERS = ("UL", "UR", "LR", "LL")
_POINTS = 5
#: Metres between pixels, by the first letter of the product code.
_GSD = {"P": 0.5, "M": 2.0, "A": 3.7, "C": 30.0}
_FORMATS = {"ntf": "NITF21NCDRD", "tif": "GeoTIFF"}


def imd(scene: Scene, ending: str) -> Entries:
    """The IMD of an image delivered as ``ntf`` or ``tif``."""
    level = scene.product[1:3]
    entries: Entries = [
        ("version", Text("24.06")),
        ("generationTime", _time(scene.made)),
        ("productOrderId", Text(f"{scene.order}_{scene.part}")),
        ("productCatalogId", Text(f"20{scene.catalog[2:]}"[:16])),
        ("imageDescriptor", Text(f"ORStandard{level}" if scene.projected else f"Basic{level}")),
        ("bandId", Text(band_id(scene))),
        ("panSharpenAlgorithm", Text("None")),
        ("numRows", f"{scene.rows}"),
        ("numColumns", f"{scene.columns * scene.tiles}"),
        ("productLevel", Text(f"LV{level}")),
        ("productType", Text("Standard" if scene.projected else "Basic")),
        ("numberOfLooks", "1"),
        ("radiometricLevel", Text("Corrected")),
        ("radiometricEnhancement", Text("Off")),
        ("bitsPerPixel", "16"),
        ("compressionType", Text("None")),
    ]
    entries += [(f"BAND_{band}", _band(scene)) for band in scene.bands]
    entries += [("outputFormat", Text(_FORMATS[ending])), ("IMAGE_1", _image(scene))]
    return [*entries, ("MAP_PROJECTED_PRODUCT", _projection(scene))] if scene.projected else entries


def _band(scene: Scene) -> Entries:
    corners: Entries = []
    for name, (longitude, latitude) in zip(_CORNERS, scene.corners, strict=True):
        corners += [
            (f"{name}Lon", f"{longitude:13.8f}"),
            (f"{name}Lat", f"{latitude:12.8f}"),
            (f"{name}HAE", f"{95.0 + latitude / 10:8.2f}"),
        ]
    calibration: Entries = [
        ("absCalFactor", "5.678345e-02"),
        ("effectiveBandwidth", "2.846000e-01"),
        ("TDILevel", "32"),
    ]
    return corners + calibration


def _image(scene: Scene) -> Entries:
    seconds, lines = scene.rows / 19_365.23, scene.rows - 1
    entries: Entries = [
        ("satId", Text(scene.sensor)),
        ("mode", Text("FullSwath")),
        ("scanDirection", Text("Reverse")),
        ("CatId", Text(scene.catalog)),
        ("TLCTime", _time(scene.seen)),
        ("numTLC", "2"),
        ("TLCList", ("(0,  0.000000)", f"({lines},  {-seconds:.6f})")),
        ("firstLineTime", _time(scene.seen)),
        ("avgLineRate", "19365.23"),
        ("exposureDuration", "0.00165245"),
    ]
    gsd = _GSD[scene.product[0]]
    entries += _means("Collected", gsd)
    if not scene.projected:
        entries += [(f"meanProduct{which}GSD", f"{gsd * 1.02:7.3f}") for which in ("Row", "Col", "")]
        entries += [("rowUncertainty", "  24.44"), ("colUncertainty", "  35.73")]
    for name, value, spread in _angles(scene):
        entries += [(f"{least}{name}", f"{value + shift:5.1f}") for least, shift in _spread(spread)]
    entries += [("PNIIRS", "5.0")] if scene.product[0] == "P" else []
    entries += [("cloudCover", scene.cloud), ("resamplingKernel", Text("CC"))]
    knowledge: Entries = [
        ("positionKnowledgeSrc", Text("R")),
        ("attitudeKnowledgeSrc", Text("R")),
        ("revNumber", "844"),
    ]
    return entries + knowledge


def _means(what: str, gsd: float) -> Entries:
    found: Entries = []
    for axis in ("Row", "Col"):
        found += [(f"{least}{what}{axis}GSD", f"{gsd + shift / 100:7.3f}") for least, shift in _spread(0.1)]
    return [*found, (f"mean{what}GSD", f"{gsd:7.3f}")]


def _spread(spread: float) -> tuple[tuple[str, float], ...]:
    return (("min", -spread), ("max", spread), ("mean", 0.0))


def _angles(scene: Scene) -> list[tuple[str, float, float]]:
    off_nadir = 8.0 + scene.seen.minute / 4
    sun = 25.0 + scene.seen.second / 2
    return [
        ("SunAz", 69.1, 0.2),
        ("SunEl", sun, 0.1),
        ("SatAz", 284.3, 1.9),
        ("SatEl", 90.0 - 1.09 * off_nadir, 0.1),
        ("InTrackViewAngle", 0.9, 0.1),
        ("CrossTrackViewAngle", -off_nadir, 0.1),
        ("OffNadirViewAngle", off_nadir, 0.0),
    ]


def _projection(scene: Scene) -> Entries:
    return [
        ("earliestAcqTime", _time(scene.seen)),
        ("latestAcqTime", _time(scene.seen + timedelta(seconds=3))),
        ("datumName", Text("WE")),
        ("semiMajorAxis", "6378137.0000"),
        ("inverseFlattening", "298.257223563"),
        ("mapProjName", Text("Geographic (Lat/Long)")),
        ("productGSD", f"{_GSD[scene.product[0]]:.3f}"),
        ("numGCP", "0"),
    ]


def til(scene: Scene, files: list[str]) -> Entries:
    """The tile map over the images ``files`` of one strip, which stand side by side."""
    entries: Entries = [
        ("bandId", Text(band_id(scene))),
        ("numTiles", f"{len(files)}"),
        ("tileUnits", Text("Pixels")),
        ("tileOverlap", "0"),
    ]
    for n, name in enumerate(files):
        left, right, below = n * scene.columns, (n + 1) * scene.columns - 1, scene.rows - 1
        places = {"UL": (left, 0), "UR": (right, 0), "LR": (right, below), "LL": (left, below)}
        tile: Entries = [("filename", Text(name))]
        for corner, (column, row) in places.items():
            tile += [(f"{corner}ColOffset", f"{column}"), (f"{corner}RowOffset", f"{row}")]
        entries.append((f"TILE_{n + 1}", tile))
    return entries


def geo(scene: Scene) -> Entries:
    """Geometry of the camera."""
    detectors: Entries = [
        ("nDetectorArrays", "1"),
        (
            "DETECTOR_ARRAY_1",
            [("detArrayId", "1"), ("detOrigX", "-140.8"), ("detOrigY", "0.0"), ("detPitch", "0.008000")],
        ),
    ]
    return [
        *_head(scene),
        ("PRINCIPAL_DISTANCE", [("pd", "13311.400000")]),
        ("PERSPECTIVE_CENTER", [("cX", "0.000000"), ("cY", "0.000000"), ("cZ", "0.000000")]),
        ("CAMERA_ATTITUDE", [("qcs1", "0.0"), ("qcs2", "0.0"), ("qcs3", "0.70710678"), ("qcs4", "0.70710678")]),
        ("DETECTOR_MOUNTING", [(f"BAND_{scene.bands[0]}", detectors)]),
    ]


def eph(scene: Scene) -> Entries:
    """Positions and velocities of the satellite, Earth centred and fixed, in metres."""
    longitude, latitude = (math.radians(each) for each in scene.corners[0])
    east, north = math.cos(longitude) * math.cos(latitude), math.sin(latitude)
    rows = []
    for n in range(_POINTS):
        x, y, z = (7_150_000 * each + 137.0 * n for each in (east, math.sin(longitude) * math.cos(latitude), north))
        rows.append(
            f"({n + 1}, {x:.3f}, {y:.3f}, {z:.3f}, {-1370.0:.3f}, {420.0:.3f}, {-7390.0:.3f}, 9, 0, 0, 9, 0, 9)"
        )
    return [*_head(scene), *_series(scene), ("ephemList", tuple(rows))]


def att(scene: Scene) -> Entries:
    """Attitude of the satellite as quaternions."""
    rows = [f"({n + 1}, 0.1, 0.2, 0.3, 0.{9273618 + n}, {'0, ' * 9}1e-12)" for n in range(_POINTS)]
    return [*_head(scene), *_series(scene), ("attList", tuple(rows))]


def _head(scene: Scene) -> Entries:
    return [
        ("satId", Text(scene.sensor)),
        ("revNumber", "844"),
        ("version", Text("A")),
        ("generationTime", _time(scene.made)),
    ]


def _series(scene: Scene) -> Entries:
    start = _time(scene.seen - timedelta(seconds=2))
    return [("startTime", start), ("numPoints", f"{_POINTS}"), ("timeInterval", "0.020000")]


def isd(scene: Scene, ending: str, files: list[str]) -> Entries:
    """All of them, as the XML holds them below ``isd``."""
    return [
        ("IMD", imd(scene, ending)),
        ("TIL", til(scene, files)),
        ("GEO", geo(scene)),
        ("EPH", eph(scene)),
        ("ATT", att(scene)),
        *([] if scene.projected else [("RPB", rpb(scene))]),
    ]


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
