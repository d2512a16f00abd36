"""Answers to delivery records: what became of the files that a provider announced.

The Polling with Delivery Record mechanism (ESDS-RFC-030, which adopts section 4.5 of the ECS-SIPS interface control
document 423-41-57) answers each Product Delivery Record (PDR) by a Production Acceptance Notice (PAN): short when all
its files were successful, long with a disposition for each file otherwise; and a record that cannot be read by a
discrepancy notice (PDRD). Providers fetch them from ``links/receipts/<source>/``, under the name of their record.
"""

from __future__ import annotations

import logging
import os
import posixpath
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from orbitory import announcements
from orbitory.announcements import Announced
from orbitory.catalogue import Source
from orbitory.errors import DataError
from orbitory.inventory import Row
from orbitory.listing import readable
from orbitory.model import FINAL_STATES
from orbitory.site import Site
from orbitory.zones import display, own_errors, read_small, write_whole

log = logging.getLogger(__name__)

_MOST_BYTES = 64 << 20
_SUCCESSFUL = "SUCCESSFUL"
_NOT_FOUND = "ALL FILE GROUPS/FILES NOT FOUND"
#: Our reasons in words that providers' programs know.
_DISPOSITIONS = {
    "size": "POST-TRANSFER FILE SIZE CHECK FAILURE",
    "checksum": "CHECKSUM VERIFICATION FAILURE",
    "incomplete": "INCORRECT NUMBER OF FILES",
    "structure": "DATA CONVERSION FAILURE",
}
_OTHERWISE = "METADATA PREPROCESSING ERROR"


def acknowledge(site: Site, source: Source) -> int:
    """Answer every delivery record of ``source`` whose files have all met their fate; returns how many.

    May be repeated, also after a crash: a record is answered once, and once again if it is delivered again.
    """
    if not source.checksums.receipts:
        return 0
    written = 0
    for record in site.inventory.all("receipts_due", source=source.name):
        content = _content(site, record)
        answer = None if content is None else _answer(site, source, record, content)
        if answer is None:
            continue
        ending, text = answer
        path = os.fsdecode(record["raw_path"])[: -len(".pdr")] + ending
        target = site.settings.links / "receipts" / source.name / path
        with own_errors(f"write the receipt {target}"):
            write_whole(target, text.encode())
        shown = display(os.fsencode(Path("receipts", source.name, path)))
        site.inventory.run("receipt_written", id=record["id"], path=shown)
        written += 1
    if written:
        log.info("answered %d delivery records of %s", written, source.name)
    return written


def _content(site: Site, record: Row) -> bytes | None:
    """The record as it stands in quarantine or storage; None when it is in neither."""
    if record["state"] in ("rejected", "conflict"):
        held = record["quarantine_path"]
        return read_small(site.settings.quarantine, held, _MOST_BYTES) if held is not None else None
    path = record["asset_path"]
    return read_small(site.settings.storage, os.fsencode(path), _MOST_BYTES) if path is not None else None


def _answer(site: Site, source: Source, record: Row, content: bytes) -> tuple[str, str] | None:
    """Ending and text of the answer; None while one of the files is still on its way."""
    try:
        announced = announcements.parse(record["name"], content, source)
    except DataError as error:
        (own,) = site.inventory.all("receipt_fates", source=source.name, names=[record["name"]])
        return ".PDRD", _discrepancy(error, own["at"])
    folder = posixpath.dirname(record["name"])
    names = [posixpath.normpath(posixpath.join(folder, each.target)) for each in announced]
    found = site.inventory.all("receipt_fates", source=source.name, names=[record["name"], *names])
    fates = {row["name"]: row for row in found}
    if any(name in fates and fates[name]["state"] not in FINAL_STATES for name in names):
        return None
    return ".PAN", notice(announced, [fates.get(name) for name in names], fates[record["name"]]["at"])


def notice(announced: Sequence[Announced], fates: Sequence[Mapping[str, object] | None], judged: datetime) -> str:
    """The acceptance notice; ``fates``: state, reason and moment for each file, None for one that never came.

    ``judged``: when the record itself met its fate.
    """
    told = [(disposition(fate), _moment(fate, judged)) for fate in fates]
    if all(each == _SUCCESSFUL for each, _ in told):
        return _statements(("MESSAGE_TYPE", "SHORTPAN"), *_ending(_SUCCESSFUL, max(at for _, at in told)))
    lines = [("MESSAGE_TYPE", "LONGPAN"), ("NO_OF_FILES", str(len(announced)))]
    for file, (text, at) in zip(announced, told, strict=True):
        lines += [("FILE_DIRECTORY", readable(file.directory, 4096)), ("FILE_NAME", readable(file.target, 4096))]
        lines += _ending(text, at)
    return _statements(*lines)


def disposition(fate: Mapping[str, object] | None) -> str:
    """What became of a file, in the provider's words. A copy of what the archive holds is a success."""
    if fate is None or fate["state"] == "lost":
        return _NOT_FOUND
    if fate["state"] in ("archived", "duplicate"):
        return _SUCCESSFUL
    return _DISPOSITIONS.get(str(fate["reason"]), _OTHERWISE)


def _discrepancy(error: DataError, at: datetime) -> str:
    wrong = "INVALID FILE COUNT" if "TOTAL_FILE_COUNT" in error.detail else "INVALID PVL STATEMENT"
    return _statements(("MESSAGE_TYPE", "SHORTPDRD"), _ending(wrong, at)[0])


def _moment(fate: Mapping[str, object] | None, otherwise: datetime) -> datetime:
    at = fate["at"] if fate is not None else None
    return at if isinstance(at, datetime) else otherwise


def _ending(text: str, at: datetime) -> list[tuple[str, str]]:
    return [("DISPOSITION", f'"{text}"'), ("TIME_STAMP", f"{at:%Y-%m-%dT%H:%M:%SZ}")]


def _statements(*pairs: tuple[str, str]) -> str:
    return "".join(f"{key} = {value};\n" for key, value in pairs)
