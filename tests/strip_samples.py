"""Small strips for tests: valid NITF and TIFF with rational polynomials, and the metadata that come beside them."""

from __future__ import annotations

import io
import os
import tarfile
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.transform import from_bounds

from orbitory.catalogue import Catalogue, load
from orbitory.extract import ExtractTask, Member
from orbitory.model import Identity
from orbitory.names import identify

SCENE = "WV03_20140824082814_10400100012AD900_14AUG24082814-P1BS-504548417070_01_P001"
VENDOR = "14AUG24082814-P1BS-504548417070_01_P001"
TILED = "WV03_20140824082814_10400100012AD900_14AUG24082814-P1BS_{tile}-504548417070_01_P001"
WEST, SOUTH, EAST, NORTH = BOUNDS = (32.9, 39.9, 33.1, 40.1)
SIZE = 64

KNOWN = {
    "order": "504548417070_01_P001",
    "catalog": "10400100012AD900",
    "sensor": "WV03",
    "time": "2014-08-24T08:28:14.872450Z",
    "cloud": "0.05",
    "rows": str(SIZE),
}
_IMD = """version = "28.4";
generationTime = 2020-08-12T12:25:32.000000Z;
productOrderId = "{order}";
productCatalogId = "{catalog}";
imageDescriptor = "Basic1B";
bandId = "P";
panSharpenAlgorithm = "None";
numRows = {rows};
numColumns = 64;
productLevel = "LV1B";
productType = "Basic";
bitsPerPixel = 16;
compressionType = "None";
outputFormat = "NITF21NCDRD";
BEGIN_GROUP = BAND_P
{corners}	TDILevel = 16;
END_GROUP = BAND_P
BEGIN_GROUP = IMAGE_1
	satId = "{sensor}";
	mode = "FullSwath";
	CatId = "{catalog}";
	firstLineTime = {time};
	meanProductGSD = 0.531;
	meanSunAz = 140.1;
	meanSunEl = 56.0;
	meanSatAz = 10.5;
	meanOffNadirViewAngle = 16.4;
	cloudCover = {cloud};
END_GROUP = IMAGE_1
END;
"""
_RPB = """satId = "WV03";
bandId = "P";
SpecId = "RPC00B";
BEGIN_GROUP = IMAGE
	errBias = 1.49;
	lineOffset = 32;
	sampOffset = 32;
	latOffset = 40.0;
	longOffset = {longitude};
	heightOffset = 95;
	latScale = 0.1;
	longScale = 0.1;
	lineNumCoef = (
			-6.181087E-03,
			+3.510113E-02);
END_GROUP = IMAGE
END;
"""
GEOEYE = """BEGIN_GROUP = INVENTORYMETADATA
  BEGIN_GROUP = PRODUCT
    satelliteName = "GeoEye-1";
    archiveId = "2009110908041711606011401020";
    percentCloudCover = 16;
    firstLineAcquisitionDateTime = 2009-11-09T08:04:17.123Z;
    firstLineSunElevationAngle = 41.5;
    firstLineElevationAngle = 63.5;
    pixelSpacing = 0.5;
    numberOfLines = 64;
    numberOfSamples = 64;
    productSpectralType = "PAN";
    bitsPerPixel = 11;
  END_GROUP = PRODUCT
END_GROUP = INVENTORYMETADATA
END
"""


def _corners(bounds: tuple[float, float, float, float] | None) -> dict[str, float]:
    west, south, east, north = bounds or BOUNDS
    places = {"UL": (west, north), "UR": (east, north), "LR": (east, south), "LL": (west, south)}
    return {
        f"{name}{axis}": value
        for name, place in places.items()
        for axis, value in zip(("Lon", "Lat"), place, strict=True)
    }


def imd(bounds: tuple[float, float, float, float] | None = BOUNDS, **changes: str) -> bytes:
    """The IMD of SCENE with ``changes`` of KNOWN; without corners if there are no bounds."""
    corners = "".join(f"\t{name} = {value};\n" for name, value in _corners(bounds).items()) if bounds else ""
    return _IMD.format(corners=corners, **{**KNOWN, **changes}).encode()


def rpb(longitude: float = 33.0) -> bytes:
    return _RPB.format(longitude=longitude).encode()


def xml(
    bounds: tuple[float, float, float, float] | None = BOUNDS, *, namespace: str = "", points: int = 20, **changes: str
) -> bytes:
    """The same as XML, with orbit points behind it."""
    known = {**KNOWN, **changes}
    corners = "".join(f"<{name.upper()}>{value}</{name.upper()}>" for name, value in _corners(bounds).items())
    orbit = "".join(f"<EPHEMLIST>{n}.0 -3482231.1 -2123123.1</EPHEMLIST>\n" for n in range(points))
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<isd{f' xmlns="{namespace}"' if namespace else ""}><!-- made for tests -->
<IMD><VERSION>28.4</VERSION><GENERATIONTIME>2020-08-12T12:25:32.000000Z</GENERATIONTIME>
<PRODUCTORDERID>{known["order"]}</PRODUCTORDERID><BANDID>P</BANDID><NUMROWS>{known["rows"]}</NUMROWS>
<NUMCOLUMNS>64</NUMCOLUMNS><PRODUCTLEVEL>LV1B</PRODUCTLEVEL><BITSPERPIXEL>16</BITSPERPIXEL>
<BAND_P>{corners if bounds else ""}<TDILEVEL>16</TDILEVEL></BAND_P>
<IMAGE><SATID>{known["sensor"]}</SATID><CATID>{known["catalog"]}</CATID><FIRSTLINETIME>{known["time"]}</FIRSTLINETIME>
<MEANPRODUCTGSD>0.531</MEANPRODUCTGSD><MEANSUNEL>56.0</MEANSUNEL><MEANOFFNADIRVIEWANGLE>16.4</MEANOFFNADIRVIEWANGLE>
<CLOUDCOVER>{known["cloud"]}</CLOUDCOVER></IMAGE></IMD>
<EPH><EPHEMLISTList>{orbit}</EPHEMLISTList></EPH>
<RPB><IMAGE><LATOFFSET>40.0</LATOFFSET><LONGOFFSET>33.0</LONGOFFSET><HEIGHTOFFSET>95</HEIGHTOFFSET>
<LATSCALE>0.1</LATSCALE><LONGSCALE>0.1</LONGSCALE></IMAGE></RPB></isd>
"""
    return text.encode()


def _rpc() -> RPC:
    one, none = [1.0] + [0.0] * 19, [0.0] * 17
    return RPC(
        *(100.0, 500.0, 40.0, 0.1, one, [0.0, 0.0, -1.0, *none], SIZE / 2, SIZE / 2, 33.0, 0.1),
        *(one, [0.0, 1.0, 0.0, *none], SIZE / 2, SIZE / 2, 1.0, 1.0),
    )


def image(
    path: Path, *, bounds: tuple[float, float, float, float] | None = BOUNDS, bands: int = 1, **how: object
) -> Path:
    """A valid image with rational polynomials; ``bounds`` as corners of a NITF, as geotransform of a TIFF."""
    profile = {"driver": "GTiff", "width": SIZE, "height": SIZE, "count": bands, "dtype": "uint16", "rpcs": _rpc()}
    if bounds:
        profile |= {"crs": "EPSG:4326", "transform": from_bounds(*bounds, SIZE, SIZE)}
    nitf = path.suffix.lower() == ".ntf"
    written = path.with_name("written.tif") if nitf else path
    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
        with rasterio.open(written, "w", **{**profile, **how}) as file:
            file.write(np.arange(bands * SIZE * SIZE, dtype="uint16").reshape(bands, SIZE, SIZE))
        if nitf:  # copied, for only then GDAL writes the polynomials into the file itself
            rasterio.shutil.copy(written, path, driver="NITF", **({"ICORDS": "D"} if bounds else {}))
            written.unlink()
    for beside in path.parent.glob(f"{path.name}.aux.xml"):
        beside.unlink()
    return path


def tar(path: Path, files: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    """A TAR of ``files``, then of members that are ``extra``."""
    with tarfile.open(path, "w") as bundle:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            bundle.addfile(member, io.BytesIO(content))
        for member in extra:
            bundle.addfile(member)
    return path


@cache
def catalogue() -> Catalogue:
    return load(Path(__file__).resolve().parents[1] / "include" / "catalogue")


def named(name: str, source: str = "nga") -> Identity:
    """What the name tells."""
    return identify(name, catalogue().source(source), catalogue())


def unit(folder: Path, *names: str, number: int = 1, checksummed: bool = False, source: str = "nga") -> ExtractTask:
    """What ingest asks for: the first file with the others of its unit. A TIFF beside its NITF is a sibling."""
    main, *others = names
    members = tuple(
        Member(
            id=1000 * number + position,
            path=os.fsencode(folder / name),
            name=name,
            identity=_as_member(name, names, source),
            checksummed=checksummed,
        )
        for position, name in enumerate(others, 1)
    )
    return ExtractTask(
        id=number,
        path=os.fsencode(folder / main),
        extractor="strip",
        source=source,
        name=main,
        identity=named(main, source),
        checksummed=checksummed,
        members=members,
    )


def _as_member(name: str, names: tuple[str, ...], source: str) -> Identity:
    identity = named(name, source)
    twin = name.removesuffix(".tif") + ".ntf"
    if name.endswith(".tif") and twin in names:
        return replace(identity, role="sibling")
    return identity
