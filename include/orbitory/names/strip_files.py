"""What a file of a strip is for, by what follows the scene in its name (ISD documentation 1.1.2; CSDA collections)."""

from __future__ import annotations

import re

from orbitory.errors import DataError

#: Ending → role of the file that bears nothing else behind its scene.
_ROLES = {
    **dict.fromkeys(("ntf", "nitf", "tif", "tiff", "jp2"), "image"),
    **dict.fromkeys(("xml", "imd", "pvl", "txt"), "metadata"),
    **dict.fromkeys(("jpg", "jpeg"), "browse"),
    "": "untyped",
    "tar": "bundle",
    "rpb": "rpc",
    "til": "tiles",
    "att": "attitude",
    "eph": "ephemeris",
    "geo": "geometry",
    "ste": "stereo",
    "hdr": "header",
    "man": "delivery",
}
#: The same for the unit that the file is in (``model.ROLES``).
UNIT_ROLES = {
    **dict.fromkeys(("image", "untyped", "derived"), "data"),
    **dict.fromkeys(("metadata", "rpc", "tiles", "attitude", "ephemeris", "geometry", "stereo", "header"), "metadata"),
    **dict.fromkeys(("browse", "thumbnail"), "browse"),
    **dict.fromkeys(("readme", "layout", "licence", "shape", "delivery"), "document"),
    "cmr": "metadata",
    "bundle": "bundle",
}
_SHAPE = ("shp", "shx", "dbf", "prj")
_TEXT = ("txt", "xml")
#: Tail → endings that it may have, and the role.
_TAILS: dict[str, tuple[tuple[str, ...], str]] = {
    "-browse": (("jpg", "jpeg"), "browse"),
    "-thumb": (("jpg", "jpeg"), "thumbnail"),
    "-cmr": (("json",), "cmr"),
    "_readme": (_TEXT, "readme"),
    "_layout": (("jpg", "jpeg"), "layout"),
    "_eot": (("txt",), "delivery"),
    "_metadata": (("txt",), "metadata"),
    "_rpc": (("txt",), "rpc"),
    **dict.fromkeys(
        ("_pixel_shape", "_order_shape", "_product_shape", "_strip_shape", "_tile_shape"), (_SHAPE, "shape")
    ),
}
#: What people and programs leave beside strips; whatever its tail, it is derived.
_DERIVED = {*_SHAPE, *("aux", "ovr", "rrd", "vrt", "tfw", "wld", "j2w", "json", "geojson", "csv", "kml", "kmz", "png")}
_TAIL = re.compile(r"(?:[-._][0-9A-Z]+)*", re.IGNORECASE | re.ASCII)


def file_role(rest: str) -> tuple[str, str, str]:
    """Role, tail and ending (lower case, without dot) that ``rest``, the end of a name behind its scene, tells.

    A tail that no vendor writes makes the file ``derived``: an orthoimage, a cut-out, statistics of a program.

    >>> file_role(".NTF"), file_role("-BROWSE.JPG"), file_role("")
    (('image', '', 'ntf'), ('browse', '-BROWSE', 'jpg'), ('untyped', '', ''))
    >>> file_role("_u08mr3413.tif"), file_role(".NTF.NTF")
    (('derived', '_u08mr3413', 'tif'), ('image', '', 'ntf'))
    >>> file_role(".ntf.gz")
    Traceback (most recent call last):
    orbitory.errors.DataError: unrecognised: not a strip name: '.gz' is the ending of no file of a strip

    Raises DataError ``unrecognised`` for an ending that no such file has, and for a tail that is not plain.
    """
    tail, dot, ending = rest.rpartition(".")
    if not dot:
        tail, ending = rest, ""
    ending = ending.lower()
    if ending not in _ROLES and ending not in _DERIVED:
        raise DataError("unrecognised", f"not a strip name: {'.' + ending!r} is the ending of no file of a strip")
    if not _TAIL.fullmatch(tail):
        raise DataError(
            "unrecognised",
            f"not a strip name: behind the scene expected letters and digits after '_', '-' or '.', found {tail!r}",
        )
    if tail.lower() == f".{ending}":  # written twice, as real deliveries do
        tail = ""
    if not tail:
        return _ROLES.get(ending, "derived"), "", ending
    endings, role = _TAILS.get(tail.lower(), ((), ""))
    return role if ending in endings else "derived", tail, ending
