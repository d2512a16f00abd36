"""Metadata of GeoEye-1 (PVL) and IKONOS (indented text) images.

Keys as imagery_utils and GDAL's readers look for them; the text's layout is that of a published IKONOS file.
"""

from __future__ import annotations

from datetime import timedelta

from orbitory.simulate.strips.notation import Entries, Text
from orbitory.simulate.strips.scene import Scene

_RULE = "=" * 62
_CORNERS = ("upperLeftCorner", "upperRightCorner", "lowerRightCorner", "lowerLeftCorner")


def geoeye_pvl(scene: Scene) -> Entries:
    """The metadata of one GeoEye-1 image; cloud cover in per cent."""
    seen = f"{scene.seen:%Y-%m-%dT%H:%M:%S.%fZ}"
    last = f"{scene.seen + timedelta(seconds=4):%Y-%m-%dT%H:%M:%S.%fZ}"
    corners: Entries = [
        (name, [("longitude", f"{longitude:.8f}"), ("latitude", f"{latitude:.8f}")])
        for name, (longitude, latitude) in zip(_CORNERS, scene.corners, strict=True)
    ]
    order: Entries = [
        ("productOrderNumber", Text(scene.order)),
        ("productSpectralType", Text("PAN" if scene.product[0] == "P" else "MSI")),
        ("processingLevel", Text("Geo")),
        ("pixelSpacing", "0.500000" if scene.product[0] == "P" else "2.000000"),
        ("bitsPerPixel", "16"),
        ("numberOfSpectralBands", f"{len(scene.bands)}"),
        ("numberOfLines", f"{scene.rows}"),
        ("numberOfSamples", f"{scene.columns}"),
        ("percentCloudCover", f"{100 * float(scene.cloud):.0f}"),
    ]
    image: Entries = [
        ("satelliteName", Text("GeoEye-1")),
        ("archiveId", Text(scene.catalog)),
        ("originalFirstLineAcquisitionDateTime", seen),
        ("firstLineAcquisitionDateTime", seen),
        ("lastLineAcquisitionDateTime", last),
        ("firstLineAzimuthAngle", "57.4"),
        ("firstLineElevationAngle", f"{70 + scene.seen.minute / 6:.2f}"),
        ("firstLineSunAzimuthAngle", "151.2"),
        ("firstLineSunElevationAngle", f"{30 + scene.seen.second / 3:.2f}"),
        *(("bandSpecificInformation", _band(n)) for n, _ in enumerate(scene.bands, 1)),
    ]
    made = f"{scene.made:%Y-%m-%dT%H:%M:%S.%fZ}"
    return [
        ("version", Text("2.0")),
        ("productionDateTime", made),
        ("dataProduct", order),
        ("image", [*image, *corners]),
    ]


def _band(number: int) -> Entries:
    return [("bandNumber", f"{number}"), ("tdiMode", "16"), ("gain", "0.017786"), ("offset", "0.000")]


def ikonos_text(scene: Scene) -> bytes:
    """The metadata of an IKONOS product of one image; times to the minute, cloud cover in per cent."""
    cloud = f"{100 * float(scene.cloud):.0f}"
    size = "1.0000000000 meters"
    sections = (
        ("Version Number: 2.2",),
        (
            "Product Order Metadata\n",
            f"Creation Date: {scene.made:%m/%d/%y}\nProduct Work Order Number: -\nProduct Order Number: {scene.order}",
            "Sensor Type: Satellite\nSensor Name: IKONOS-2\nProduct Line: Geo",
            "Processing Level: Standard Geometrically Corrected\nImage Type: PAN",
            "Interpolation Method: Cubic Convolution\nFile Format: NITF\n   Bits per Pixel per Band: 16 bits per pixel",
        ),
        (
            "Source Image Metadata\n",
            f"Number of Source Images: 1\n\nSource Image ID: {scene.catalog}\nProduct Image ID: 000\nSensor: IKONOS-2",
            "Acquired Nominal GSD\n   Pan Cross Scan: 0.93 meters\n   Pan Along Scan: 1.07 meters",
            f"Scan Direction: 0 degrees\nNominal Collection Azimuth: 41.5 degrees\n"
            f"Nominal Collection Elevation: 71.3 degrees\nSun Angle Azimuth: 161.2 degrees\n"
            f"Sun Angle Elevation: {30 + scene.seen.minute / 3:.4f} degrees",
            f"Acquisition Date/Time: {scene.seen:%Y-%m-%d %H:%M} GMT\nPercent Cloud Cover: {cloud}",
        ),
        (
            "Product Space Metadata\n",
            f"Number of Image Components: 1\n   X Components: 1\n   Y Components: 1\nPixel Size X: {size}",
            f"Pixel Size Y: {size}\nColumns: {scene.columns} pixels\nRows: {scene.rows} pixels",
            "Reference Height: 85.9509811401 meters",
        ),
        (
            "Product Component Metadata\n",
            f"Number of Components: 1\n\nComponent ID: {scene.part}\nProduct Image ID: 000\nCountry Code: -",
            "Component Geographic Corner Coordinates\n   Number of Coordinates: 4",
            *(
                f"   Coordinate: {n}\n      Latitude: {y:.10f} degrees\n      Longitude: {x:.10f} degrees"
                for n, (x, y) in enumerate(scene.corners, 1)
            ),
            f"Pixel Size X: {size}\nPixel Size Y: {size}\nColumns: {scene.columns} pixels\nRows: {scene.rows} pixels",
            f"Percent Component Cloud Cover: {cloud}",
        ),
    )
    body = "".join("\n".join(lines) + f"\n\n{_RULE}\n" for lines in sections)
    return f"{_RULE}\n{body}".encode()
