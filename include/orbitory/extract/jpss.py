"""JPSS/IDPS HDF5: one granule per ``Data_Products/<collection>/<collection>_Gran_<n>``.

Attributes and their meaning: JPSS CDFCB-X volumes I to V; what real files of two eras hold was counted. Every
attribute is an array of shape (1,1) or (n,1); numbers may be text; "N/A" and values from -993 down mean "none".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from h5py import h5d, h5g, h5i, h5o

from orbitory.errors import DataError
from orbitory.extract import ExtractTask, open_file, quick_check, warning
from orbitory.extract.faults import FAULTS, fault
from orbitory.extract.granule import Attributes, granule_facts
from orbitory.extract.hdf5 import attributes, check_reach, children, open_hdf5, read_everything
from orbitory.extract.header import Header, text
from orbitory.model import Extraction, Finding, GranuleFacts

_GRANULE = re.compile(rb".*_Gran_(\d{1,6})")
#: Name times are truncated to tenths; the first granule may begin a tenth later, and whole-second rounding was seen.
_NAME_TOLERANCE = timedelta(seconds=1)


@dataclass(slots=True, kw_only=True)
class _Product:
    """One collection in the file."""

    collection: str
    group: Attributes
    granules: list[GranuleFacts]
    promised_granules: int | None = None


def extract(task: ExtractTask) -> Extraction:
    """Granules, findings and header of one file. Without an announced checksum every dataset is read, too.

    Raises DataError: ``metadata`` or ``time`` when what identifies a granule is missing, ``structure`` for damage.
    """
    with open_file(task) as source:
        kind = quick_check(task.name, source.head, source.size)
        if kind != "hdf5":
            raise DataError("type", f"the first bytes are {kind}: expected hdf5")
        findings: list[Finding] = []
        header = Header()
        file = open_hdf5(source)
        try:
            root = Attributes(attributes(file, findings))
            products = _products(file, root, task, header, findings)
            findings += check_reach(file) if task.checksummed else read_everything(file, source.size, header)
        finally:
            file.close()
    _compare_with_name(task, root, products, findings)
    granules = tuple(granule for product in products for granule in product.granules)
    return Extraction(kind=kind, granules=granules, findings=tuple(findings), header=header.packed())


def _products(
    file: Any, root: Attributes, task: ExtractTask, header: Header, findings: list[Finding]
) -> list[_Product]:
    header.add("/", root.raw)
    products: list[_Product] = []
    try:
        top = h5g.open(file, b"/")
        if b"Data_Products" not in children(top):
            raise DataError("metadata", "no group Data_Products: not a JPSS product file")
        group = h5g.open(file, b"Data_Products")
        for name in sorted(children(group)):
            collection = h5o.open(group, name)
            if isinstance(collection, h5g.GroupID):
                products.append(_product(collection, root, task, header, findings))
    except FAULTS as error:
        raise fault("Data_Products", error) from error
    keys = [granule.key for product in products for granule in product.granules]
    if not keys:
        raise DataError("metadata", "no granule in Data_Products: expected datasets named <collection>_Gran_<n>")
    if len(keys) != len(set(keys)):
        raise DataError("metadata", f"the same granule id twice in one file: {_repeated(keys)}")
    return products


def _repeated(keys: Sequence[str]) -> str:
    return ", ".join(sorted({key for key in keys if keys.count(key) > 1})[:3])


def _product(
    group: h5g.GroupID, root: Attributes, task: ExtractTask, header: Header, findings: list[Finding]
) -> _Product:
    path = text(h5i.get_name(group) or b"")
    shared = Attributes(attributes(group, findings))
    header.add(path, shared.raw)
    collection = shared.text("N_Collection_Short_Name") or path.rpartition("/")[2]
    product = _Product(collection=collection, group=shared, granules=[])
    ids = {each: identifier for identifier, each in task.collections}
    numbered = []
    for name in children(group):
        match = _GRANULE.fullmatch(name)
        if match:
            numbered.append((int(match[1]), name))
        elif name.endswith(b"_Aggr"):
            aggregate = Attributes(attributes(h5o.open(group, name), findings))
            header.add(f"{path}/{text(name)}", aggregate.raw)
            product.promised_granules = aggregate.integer("AggregateNumberGranules")
    for _, name in sorted(numbered):
        dataset = h5o.open(group, name)
        if not isinstance(dataset, h5d.DatasetID):
            raise DataError("metadata", f"{path}/{text(name)} is not a dataset")
        own = Attributes(attributes(dataset, findings), f"{path}/{text(name)}")
        header.add(own.path, own.raw)
        context = {"root": root, "group": shared, "own": own}
        product.granules.append(granule_facts(context, collection, ids.get(collection, collection), task, findings))
    return product


def _compare_with_name(task: ExtractTask, root: Attributes, products: list[_Product], findings: list[Finding]) -> None:
    """Name and content must agree: what differs is a finding, and the content is believed."""
    identity = task.identity
    found = {product.collection for product in products}
    promised = {collection for _, collection in task.collections}
    for collection in sorted(found - promised):
        findings.append(_mismatch(f"holds {collection}, which the name does not promise ({', '.join(promised)})"))
    for collection in sorted(promised - found):
        findings.append(_mismatch(f"the name promises {collection}, the file holds {', '.join(sorted(found))}"))
    platforms = {granule.platform for product in products for granule in product.granules}
    if identity.platform and {identity.platform.upper()} != {platform.upper() for platform in platforms}:
        findings.append(
            _mismatch(f"the name says platform {identity.platform}, the file {', '.join(sorted(platforms))}")
        )
    starts = [granule.sensing_start for product in products for granule in product.granules[:1]]
    if identity.sensing_start and not any(
        start and abs(start - identity.sensing_start) <= _NAME_TOLERANCE for start in starts
    ):
        shown = ", ".join(str(start) for start in starts)
        findings.append(_mismatch(f"the name begins at {identity.sensing_start}, its content at {shown}"))
    for product in products:
        count = product.promised_granules
        if count is not None and count != len(product.granules):
            reason = (
                f"{product.collection}: the aggregate states {count} granules, the file holds {len(product.granules)}"
            )
            findings.append(warning("incomplete_aggregate", reason))


def _mismatch(reason: str) -> Finding:
    return warning("name_content_mismatch", reason, "the content is believed; ask the sender which one is right")
