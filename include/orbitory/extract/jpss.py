"""JPSS/IDPS HDF5: one granule per ``Data_Products/<collection>/<collection>_Gran_<n>``.

Attributes and their meaning: JPSS CDFCB-X volumes I to V; what real files of two eras hold was counted. Every
attribute is an array of shape (1,1) or (n,1); numbers may be text; "N/A" and values from -993 down mean "none".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from h5py import h5g

from orbitory.errors import DataError
from orbitory.extract import ExtractTask, OpenFile, open_file, quick_check, warning
from orbitory.extract.faults import FAULTS, fault
from orbitory.extract.granule import Attributes, granule_facts
from orbitory.extract.hdf5 import check_reach, open_hdf5, read_everything
from orbitory.extract.hdf5_objects import LibraryObject, Thing, keep_attributes, tree_of
from orbitory.extract.header import Header
from orbitory.model import Extraction, Finding, GranuleFacts

_GRANULE = re.compile(r".*_Gran_(\d{1,6})", re.ASCII)
#: Name times are truncated to tenths; the first granule may begin a tenth later, and whole-second rounding was seen.
_NAME_TOLERANCE = timedelta(seconds=1)


@dataclass(slots=True, kw_only=True)
class _Product:
    """One collection in the file."""

    collection: str
    granules: list[GranuleFacts]
    promised_granules: int | None = None


def extract(task: ExtractTask) -> Extraction:
    """Granules, findings and header of one file. Without an announced checksum every dataset is read, too.

    Raises DataError: ``metadata`` or ``time`` when what identifies a granule is missing, ``structure`` for damage.
    """
    header, findings = Header(), list[Finding]()
    with open_file(task) as source:
        kind = quick_check(task.name, source.head, source.size)
        if kind != "hdf5":
            raise DataError("type", f"the first bytes are {kind}: expected hdf5")
        top = tree_of(source, elements=not task.checksummed, like=" ".join(task.identity.products))
        if top is not None:
            root, products = _products(top, task, header, findings)
            if not task.checksummed:
                keep_attributes(top, header)
        else:
            root, products = _by_library(source, task, header, findings)
    _compare_with_name(task, root, products, findings)
    granules = tuple(granule for product in products for granule in product.granules)
    return Extraction(kind=kind, granules=granules, findings=tuple(findings), header=header.packed())


def _by_library(
    source: OpenFile, task: ExtractTask, header: Header, findings: list[Finding]
) -> tuple[Attributes, list[_Product]]:
    file = open_hdf5(source)
    try:
        try:
            top = LibraryObject(h5g.open(file, b"/"), "/", findings)
            found = _products(top, task, header, findings)
        except FAULTS as error:
            raise fault("Data_Products", error) from error
        findings += check_reach(file) if task.checksummed else read_everything(file, source.size, header)
        return found
    finally:
        file.close()


def _products(
    top: Thing, task: ExtractTask, header: Header, findings: list[Finding]
) -> tuple[Attributes, list[_Product]]:
    """Attributes of the root, and the collections below Data_Products."""
    root = Attributes(top.attributes)
    header.add("/", root.raw)
    if "Data_Products" not in top.members:
        raise DataError("metadata", "no group Data_Products: not a JPSS product file")
    parent = top.members["Data_Products"]
    if not parent.is_group:
        raise DataError("structure", "Data_Products cannot be read: it is not a group")
    members = parent.members
    groups = (members[name] for name in sorted(members))
    products = [_product(group, root, task, header, findings) for group in groups if group.is_group]
    keys = [granule.key for product in products for granule in product.granules]
    if not keys:
        raise DataError("metadata", "no granule in Data_Products: expected datasets named <collection>_Gran_<n>")
    if len(keys) != len(set(keys)):
        raise DataError("metadata", f"the same granule id twice in one file: {_repeated(keys)}")
    return root, products


def _repeated(keys: Sequence[str]) -> str:
    return ", ".join(sorted({key for key in keys if keys.count(key) > 1})[:3])


def _product(group: Thing, root: Attributes, task: ExtractTask, header: Header, findings: list[Finding]) -> _Product:
    shared = Attributes(group.attributes)
    header.add(group.path, shared.raw)
    collection = shared.text("N_Collection_Short_Name") or group.path.rpartition("/")[2]
    product = _Product(collection=collection, granules=[])
    ids = {each: identifier for identifier, each in task.collections}
    numbered = []
    members = group.members
    for name in members:
        match = _GRANULE.fullmatch(name)
        if match:
            numbered.append((int(match[1]), name))
        elif name.endswith("_Aggr"):
            aggregate = Attributes(members[name].attributes)
            header.add(members[name].path, aggregate.raw)
            product.promised_granules = aggregate.integer("AggregateNumberGranules")
    for _, name in sorted(numbered):
        dataset = members[name]
        if not dataset.is_dataset:
            raise DataError("metadata", f"{dataset.path} is not a dataset")
        own = Attributes(dataset.attributes, dataset.path)
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
