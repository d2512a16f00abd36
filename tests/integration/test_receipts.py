"""Providers that send delivery records learn what became of each file: once, whole, when it is certain."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from orbitory.ingest import report
from orbitory.ingest.run import ingest
from orbitory.receipts import acknowledge
from orbitory.settings import CHECKOUT, Settings
from orbitory.site import Site, open_site

SHORT = re.compile(
    r'MESSAGE_TYPE = SHORTPAN;\nDISPOSITION = "SUCCESSFUL";\nTIME_STAMP = \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ;\n'
)


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """The site, with a catalogue whose source asks for receipts."""
    catalogue = tmp_path / "catalogue"
    shutil.copytree(CHECKOUT / "include" / "catalogue", catalogue)
    file = catalogue / "sources" / "correlative.toml"
    file.write_text(file.read_text().replace("pdr = true", "pdr = true\nreceipts = true"))
    return replace(settings, catalogue=catalogue)


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    with open_site(actor="test", settings=settings) as opened:
        yield opened


def land(settings: Settings, name: str, content: bytes, age_seconds: float = 3600) -> None:
    file = settings.landing / "correlative" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    then = time.time() - age_seconds
    os.utime(file, (then, then))


def record(files: Mapping[str, bytes], total: int | None = None) -> bytes:
    lines = ["ORIGINATING_SYSTEM = TEST;", f"TOTAL_FILE_COUNT = {len(files) if total is None else total};"]
    lines.append("OBJECT = FILE_GROUP;")
    for name, content in files.items():
        lines += ["OBJECT = FILE_SPEC;", "DIRECTORY_ID = /out/today;", f"FILE_ID = {name};"]
        lines += [f"FILE_SIZE = {len(content)};", "FILE_CKSUM_TYPE = MD5;"]
        lines += [f"FILE_CKSUM_VALUE = {hashlib.md5(content).hexdigest()};", "END_OBJECT = FILE_SPEC;"]
    return "\n".join([*lines, "END_OBJECT = FILE_GROUP;", ""]).encode()


def receipts(settings: Settings) -> dict[str, str]:
    folder = settings.links / "receipts" / "correlative"
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


GOOD = {"a.txt": b"reading one", "b.txt": b"reading two"}


def test_a_record_whose_files_are_all_archived_is_answered_by_the_short_form(settings: Settings) -> None:
    for name, content in GOOD.items():
        land(settings, f"today/{name}", content)
    land(settings, "today/one.PDR", record(GOOD))
    assert ingest(settings, "correlative").archived == 3
    ((name, text),) = receipts(settings).items()
    assert name == "today/one.PAN" and SHORT.fullmatch(text), text


def test_a_record_with_a_bad_file_is_answered_by_the_long_form_in_its_order(settings: Settings) -> None:
    files = {**GOOD, "short.txt": b"whole", "changed.txt": b"right"}
    for name, content in {**files, "short.txt": b"who", "changed.txt": b"wrong"}.items():
        land(settings, name, content)
    land(settings, "one.pdr", record(files))
    assert ingest(settings, "correlative").rejected == 2
    ((name, text),) = receipts(settings).items()
    lines = text.splitlines()
    assert name == "one.PAN" and lines[:2] == ["MESSAGE_TYPE = LONGPAN;", "NO_OF_FILES = 4;"]
    assert [line.split(" = ")[1] for line in lines if line.startswith("FILE_NAME")] == [f"{name};" for name in files]
    assert [line.split(" = ")[1] for line in lines if line.startswith("DISPOSITION")] == [
        '"SUCCESSFUL";',
        '"SUCCESSFUL";',
        '"POST-TRANSFER FILE SIZE CHECK FAILURE";',
        '"CHECKSUM VERIFICATION FAILURE";',
    ]
    assert lines.count("FILE_DIRECTORY = /out/today;") == 4
    assert len([line for line in lines if line.startswith("TIME_STAMP = 20")]) == 4


def test_a_retried_report_writes_nothing_new(settings: Settings, site: Site) -> None:
    for name, content in GOOD.items():
        land(settings, name, content)
    land(settings, "one.PDR", record(GOOD))
    ingest(settings, "correlative")
    receipt = settings.links / "receipts" / "correlative" / "one.PAN"
    before = receipt.stat()
    source = site.catalogue.source("correlative")
    assert acknowledge(site, source) == 0
    report(site, "correlative")
    assert (receipt.stat().st_ino, receipt.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    receipt.unlink()  # the provider took it away
    report(site, "correlative")
    assert receipts(settings) == {}


def test_a_crash_between_file_and_row_writes_the_same_again(
    settings: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in GOOD.items():
        land(settings, name, content)
    land(settings, "one.PDR", record(GOOD))
    run = type(site.inventory).run

    def die(self: object, query: str, **values: object) -> int:
        if query == "receipt_written":
            raise KeyboardInterrupt
        return run(self, query, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(type(site.inventory), "run", die)
    with pytest.raises(KeyboardInterrupt):
        ingest(settings, "correlative")
    monkeypatch.undo()
    before = receipts(settings)
    assert set(before) == {"one.PAN"}
    assert acknowledge(site, site.catalogue.source("correlative")) == 1
    assert receipts(settings) == before


def test_a_record_is_answered_only_when_its_last_file_met_its_fate(settings: Settings) -> None:
    land(settings, "a.txt", GOOD["a.txt"])
    land(settings, "one.PDR", record(GOOD))
    ingest(settings, "correlative")
    assert receipts(settings) == {}, "b.txt has not come: the record waits"
    land(settings, "b.txt", GOOD["b.txt"])
    ingest(settings, "correlative")
    assert set(receipts(settings)) == {"one.PAN"}


def test_a_record_whose_file_never_came_says_so(settings: Settings) -> None:
    land(settings, "a.txt", GOOD["a.txt"])
    land(settings, "one.PDR", record(GOOD))
    ingest(settings, "correlative")
    with psycopg.connect(settings.database) as connection:  # a day later
        connection.execute("UPDATE arrival SET first_seen = now() - interval '25 hours'")
    ingest(settings, "correlative")
    ((_, text),) = receipts(settings).items()
    assert text.count('DISPOSITION = "SUCCESSFUL";') == 1
    assert 'FILE_NAME = b.txt;\nDISPOSITION = "ALL FILE GROUPS/FILES NOT FOUND";' in text


@pytest.mark.parametrize(
    ("content", "disposition"),
    [
        (b"this is no record", "INVALID PVL STATEMENT"),
        (record(GOOD, total=7), "INVALID FILE COUNT"),
        (record({**GOOD, "../../etc/passwd": b""}), "INVALID PVL STATEMENT"),
    ],
)
def test_a_record_that_cannot_be_read_is_answered_by_a_discrepancy(
    settings: Settings, content: bytes, disposition: str
) -> None:
    land(settings, "one.PDR", content)
    ingest(settings, "correlative")
    assert receipts(settings) == {"one.PDRD": f'MESSAGE_TYPE = SHORTPDRD;\nDISPOSITION = "{disposition}";\n'}


def test_a_record_that_is_delivered_again_with_mended_files_is_answered_again(settings: Settings) -> None:
    land(settings, "a.txt", b"reading 0ne")
    land(settings, "b.txt", GOOD["b.txt"])
    land(settings, "one.PDR", record(GOOD))
    ingest(settings, "correlative")
    assert "CHECKSUM VERIFICATION FAILURE" in receipts(settings)["one.PAN"]
    for name, content in GOOD.items():
        land(settings, name, content)
    land(settings, "one.PDR", record(GOOD))
    ingest(settings, "correlative")
    assert SHORT.fullmatch(receipts(settings)["one.PAN"])


def test_a_source_that_does_not_ask_gets_none(settings: Settings) -> None:
    for name, content in GOOD.items():
        land(settings, name, content)
    land(settings, "one.PDR", record(GOOD))
    ingest(replace(settings, catalogue=CHECKOUT / "include" / "catalogue"), "correlative")
    assert receipts(settings) == {}
