"""DigitalGlobe's XML beside an image (``isd``): what the IMD, RPB and GEO files hold, and orbit and attitude points.

Foreign XML: no entities, no network, no document type, none of libxml2's limits lifted, and its size capped here. The
thousands of orbit points are only checked for being complete. Newer (Vantor) files put everything into a namespace:
names are compared without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from orbitory.errors import DataError
from orbitory.extract.header import text
from orbitory.extract.strips.records import VALUE_LIMIT, Collector, Group

#: Bytes of one file. A long 1B strip has 1.3 MB, nearly all of it orbit points.
SIZE_LIMIT = 16 << 20
_KEPT = ("{*}IMD", "{*}RPB", "{*}GEO")
_DOCTYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)")


def read_imagery_xml(data: bytes) -> Group:
    """The IMD group, and RPB and GEO where they are; an element that holds elements is a group, others a value.

    Attributes, comments and instructions are left out. Raises DataError: ``metadata`` for XML that is cut off, damaged
    or of another kind, ``policy`` for a document type and above the limits.
    """
    found = Collector("XML")
    root = parse(data)
    for element in root.iter(*_KEPT):
        if next(element.iterancestors(*_KEPT), None) is None:
            _collect(element, found)
    group = found.finish()
    if group.first("IMD") is None:
        raise DataError("metadata", "XML without an IMD element: no imagery metadata")
    return group


def parse(data: bytes) -> etree._Element:
    """The document's root. A document type is refused before (in UTF-16, too) and after parsing."""
    if len(data) > SIZE_LIMIT:
        raise DataError("policy", f"XML of {len(data)} bytes; at most {SIZE_LIMIT} are read")
    if _DOCTYPE.search(data.replace(b"\0", b"") if b"\0" in data else data):
        raise DataError("policy", "XML with a document type: entities are never resolved")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        reason = " ".join(text(str(error)).split())
        raise DataError("metadata", f"XML is cut off or damaged: {reason[:300]}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise DataError("policy", "XML with a document type: entities are never resolved")
    return root


def _collect(top: etree._Element, found: Collector) -> None:
    """``top`` and all below it; without recursion, and ``found`` bounds the depth."""
    found.open(_name(top))
    pending: list[Iterator[etree._Element]] = [iter(top)]
    while pending:
        element = next(pending[-1], None)
        if element is None:
            pending.pop()
            found.close()
        elif len(element):
            found.open(_name(element))
            pending.append(iter(element))
        else:
            found.add(_name(element), " ".join((element.text or "")[: 2 * VALUE_LIMIT].split()))


def _name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]
