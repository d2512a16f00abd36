"""An uploaded file by the form beside it (docs/upload.md); its content as far as ``generic`` reads it."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace

from lxml import etree

from orbitory.errors import DataError
from orbitory.extract import ExtractTask, generic, open_file, read_whole
from orbitory.extract.header import text
from orbitory.model import Extraction
from orbitory.upload_form import ELEMENTS, ENDING, FORM_BYTES, VERSION, UploadForm, from_texts, refusal

_BLOCK_BYTES = 1 << 20
_MARKUP = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


def extract(task: ExtractTask) -> Extraction:
    """Facts of the file under the type, expiry and class of its form; ``collections`` are types and most days, 0: any.

    Raises DataError: ``metadata`` for a form that is missing, damaged or speaks of another file, ``policy`` for one
    that asks for what is not given, ``size`` and ``checksum`` when the file is not as the form says.
    """
    form = _form(task)
    if refused := refusal(form.product_type, form.keep_days, {name: int(most) for name, most in task.collections}):
        raise DataError("policy", f"the form's {refused}")
    _compare(task, form)
    extraction = generic.extract(task)
    (granule,) = extraction.granules
    told = {"title": form.title, "comment": form.comment, "sender": form.sender}
    search = {**granule.search, **{name: value for name, value in told.items() if value}}
    search["uploaded"] = form.created.isoformat()
    granule = replace(
        granule,
        product=form.product_type,
        keep_days=form.keep_days,
        classification=form.classification,
        search=search,
    )
    return replace(extraction, granules=(granule,))


def _form(task: ExtractTask) -> UploadForm:
    forms = [member for member in task.members if member.name.endswith(ENDING)]
    if len(forms) != 1:
        raise DataError("metadata", f"{len(forms)} forms *{ENDING} belong to it, expected one")
    form = read_form(read_whole(forms[0], FORM_BYTES, "the form has"))
    name = task.name.rpartition("/")[2]
    if form.file != name:
        raise DataError("metadata", f"the form speaks of {form.file!r}, but stands beside {name!r}")
    return form


def read_form(data: bytes) -> UploadForm:
    """The form in ``data``. Raises DataError: ``policy`` for a document type, ``metadata`` for anything else."""
    try:
        return from_texts(_texts(data))
    except etree.XMLSyntaxError as error:
        reason = " ".join(text(str(error)).split())
        raise DataError("metadata", f"the form is damaged XML: {reason[:300]}") from None
    except ValueError as error:
        raise DataError("metadata", f"the form: {text(str(error))[:500]}") from None


def _texts(data: bytes) -> dict[str, str]:
    """Element → text. Raises ValueError for what the schema does not have."""
    try:
        markup = _MARKUP.search(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8: byte {data[error.start]:#04x} at {error.start}") from None
    if markup:
        raise DataError("policy", f"the form holds {markup[0]}: document types and entities are not accepted")
    parser = etree.XMLParser(
        encoding="utf-8",  # whatever the form declares, so that nothing is seen but what was looked at above
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    root = etree.fromstring(data, parser)
    if root.tag != "upload" or root.get("version") != VERSION or len(root.attrib) > 1:
        begin = f"<{root.tag!s}> of version {root.get('version')!r}, {len(root.attrib)} attributes"
        raise ValueError(f'begins with {begin[:200]}: expected <upload version="{VERSION}">')
    found: dict[str, str] = {}
    for element in root:
        name = str(element.tag)
        if name not in ELEMENTS:
            raise ValueError(f"holds <{name[:80]}>: expected only {', '.join(ELEMENTS)}")
        if name in found:
            raise ValueError(f"holds <{name}> twice")
        if len(element) or element.attrib:
            raise ValueError(f"<{name}> holds elements or attributes: expected text alone")
        found[name] = element.text or ""
    if (root.text or "").strip() or any((element.tail or "").strip() for element in root):
        raise ValueError("holds text between its elements")
    return found


def _compare(task: ExtractTask, form: UploadForm) -> None:
    with open_file(task) as source:
        if source.size != form.size:
            raise DataError("size", f"the form announces {form.size} bytes, the file has {source.size}")
        if form.sha256 is None:
            return
        digest, offset = hashlib.sha256(), 0
        while block := os.pread(source.descriptor, _BLOCK_BYTES, offset):
            digest.update(block)
            offset += len(block)
    if digest.hexdigest() != form.sha256:
        raise DataError("checksum", f"the form announces sha256 {form.sha256}, the file has {digest.hexdigest()}")
