"""Names, sidecars, documents and moments that senders should not choose, each through the whole chain of steps."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

from answers import Orbitory
from ingesting import check, ledger
from orbitory import ingest
from orbitory.ingest.report import RunReport
from orbitory.ingest.run import ingest as ingest_all
from orbitory.settings import Settings
from orbitory.site import open_site
from retaining import wrong

STEPS = (ingest.verify, ingest.extract, ingest.store, ingest.archive)
GOOD = b"reading\n"
SHA256, MD5 = hashlib.sha256(GOOD).hexdigest(), hashlib.md5(GOOD, usedforsecurity=False).hexdigest()


@pytest.fixture
def land(settings: Settings) -> Callable[..., Path]:
    """Put a complete file into the landing folder, as a sender does: renamed when it is whole."""

    def put(name: str | bytes, content: bytes = GOOD, source: str = "correlative", age: float = 3600) -> Path:
        path = settings.landing / source / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.parent / ".sent.part"
        part.write_bytes(content)
        os.utime(part, (time.time() - age,) * 2)
        part.replace(path)
        return path

    return put


def run(settings: Settings, source: str = "correlative") -> RunReport:
    """One run of all steps, after which every promise holds."""
    report = check(ingest_all(settings, source, ingest.Selection(workers=1)))
    with open_site(actor="judge", settings=settings) as site:
        assert wrong(site) == []
    return report


def stored(settings: Settings) -> dict[str, bytes]:
    """Content by path in storage."""
    files = (path for path in settings.storage.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(settings.storage)): path.read_bytes() for path in files}


def asset(orbitory: Orbitory, name: str) -> dict[str, Any]:
    """What is told of an archived file."""
    found: list[dict[str, Any]] = orbitory("show", name, "--json").json["assets"]
    (data,) = [each for each in found if each["path"].endswith(f"/{name}")]
    return data


# --- names ------------------------------------------------------------------------------------------------------------

REFUSED = (b"new\nline.txt", b"tab\there.txt", b"\xff\xfe.txt", "txt\u202efdp.txt".encode(), b"x" * 255, b"n" * 201)
TAKEN = (
    *("quote'\".txt", "$(id) `id`;id.txt", "-rf.txt", "nul", "con.txt", "e\u0301.txt", "\xe9.txt", "A.txt", "a.txt"),
    *("{{7*7}}.txt", "<script>.txt", "%s %(x)s.txt", "'); DROP TABLE granule; --.txt", "=cmd().txt", "x" * 200),
)


@pytest.mark.fault(
    "F32", how="newline, tab, quotes, $(), leading dash, 255 bytes, NFC and NFD, case twins, RTL, not UTF-8"
)
def test_a_hostile_name_is_rejected_or_stands_in_storage_under_a_plain_one(
    settings: Settings, land: Callable[..., Path]
) -> None:
    for number, name in enumerate((*REFUSED, *TAKEN)):
        land(name, b"%d\n" % number)
    report = run(settings)
    found = ledger(settings)
    assert (report.archived, report.rejected) == (len(TAKEN), len(REFUSED))
    assert {found[name] for name in TAKEN} == {("archived", "")}
    assert {reason for state, reason in found.values() if state == "rejected"} == {"name"}
    assert len(stored(settings)) == len(TAKEN), "none took the place of another"
    for path in stored(settings):
        assert path.isascii() and not set(path) & set(" \"'$`;(){}<>%=\n\t\\") and "/-" not in path


@pytest.mark.fault("F32", how="folders deeper than PATH_MAX")
def test_folders_beyond_the_longest_path_cost_only_what_is_in_them(
    settings: Settings, land: Callable[..., Path]
) -> None:
    land("good.txt")
    folder = os.open(settings.landing / "correlative", os.O_RDONLY)
    for _ in range(40):  # 40 times 120 bytes: no call takes that path as a whole
        os.mkdir("d" * 120, dir_fd=folder)
        inner = os.open("d" * 120, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    descriptor = os.open("deep.txt", os.O_CREAT | os.O_WRONLY, dir_fd=folder)
    os.write(descriptor, b"deep")
    os.utime(descriptor, (0, 0))
    os.close(descriptor)
    os.close(folder)
    report = check(ingest_all(settings, "correlative"))
    assert ledger(settings)["good.txt"] == ("archived", "")
    assert report.archived == 1


@pytest.mark.fault("F33", how="a folder called like data, a hard link to a file elsewhere, a linked landing subfolder")
def test_folders_called_like_data_are_no_files_and_what_is_linked_twice_is_copied(
    settings: Settings, land: Callable[..., Path], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_bytes(b"secret\n")
    os.utime(outside / "secret.txt", (0, 0))
    land("folder.h5/inner.txt")
    os.link(outside / "secret.txt", settings.landing / "correlative" / "hard.txt")
    (settings.landing / "correlative" / "linked").symlink_to(outside)
    report = run(settings)
    assert ledger(settings)["folder.h5/inner.txt"] == ("archived", "")
    assert ledger(settings)["hard.txt"] == ("archived", "") and ledger(settings)["linked"] == ("rejected", "type")
    assert report.archived == 2
    (outside / "secret.txt").write_bytes(b"changed\n")
    assert b"secret\n" in stored(settings).values(), "its owner cannot change what the archive holds"


@pytest.mark.fault("F34", how="a landing subfolder that is a link, names that climb in sidecar, manifest and form")
def test_nothing_outside_the_landing_zone_is_reached_by_a_path_in_it(
    settings: Settings, land: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_bytes(GOOD)
    land("a.txt")
    land("a.txt.sha256", f"{SHA256}  ../../../outside/secret.txt\n".encode())
    land("sub/MD5SUMS", f"{MD5}  ../../../../outside/secret.txt\n".encode())
    (settings.landing / "correlative" / "way").symlink_to(tmp_path / "outside")
    form = f'<upload version="1"><file>../../a.txt</file><size>{len(GOOD)}</size><type>user_data</type></upload>'
    land("mallory-1/b.txt", source="upload")
    land("mallory-1/b.txt.upload.xml", form.encode(), source="upload")
    run(settings)
    run(settings, "upload")
    found = ledger(settings)
    assert found["a.txt"] == ("rejected", "checksum") and found["way"] == ("rejected", "type")
    assert found["mallory-1/b.txt"] == ("rejected", "metadata")
    assert stored(settings) == {}
    assert (tmp_path / "outside" / "secret.txt").read_bytes() == GOOD


# --- sidecars ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "F30",
    how="sidecar malformed, of another algorithm, for another file, CRLF, upper case, BSD style, two that disagree",
)
@pytest.mark.parametrize(
    ("ending", "content", "fate"),
    [
        ("md5", MD5, "archived"),
        ("md5", f"{MD5}  a.txt\r\n", "archived"),
        ("sha256", SHA256.upper(), "archived"),
        ("sha256", f"SHA256 (a.txt) = {SHA256}\n", "archived"),
        ("MD5", f"{MD5} *a.txt\n", "archived"),
        ("md5", "\ufeff" + MD5, "archived"),
        ("md5", f"{MD5}  b.txt\n", "rejected"),
        ("md5", SHA256, "rejected"),
        ("md5", f"SHA256 (a.txt) = {SHA256}\n", "rejected"),
        ("md5", "", "rejected"),
        ("md5", "no checksum today", "rejected"),
        ("sha256", "0" * 64, "rejected"),
        ("md5", MD5[:-1], "rejected"),
        ("md5", f"{MD5}\0", "rejected"),
    ],
)
def test_a_sidecar_is_understood_in_every_style_or_rejects_its_file(
    settings: Settings, land: Callable[..., Path], ending: str, content: str, fate: str
) -> None:
    land("a.txt")
    land(f"a.txt.{ending}", content.encode())
    run(settings)
    assert ledger(settings)["a.txt"] == (fate, "" if fate == "archived" else "checksum")


@pytest.mark.fault("F30", how="no sidecar, where one is required; one that comes later; two that disagree")
def test_a_file_waits_for_a_required_sidecar_and_two_must_agree(
    settings: Settings, land: Callable[..., Path], tmp_path: Path
) -> None:
    catalogue = tmp_path / "catalogue"
    shutil.copytree(settings.catalogue, catalogue)
    file = catalogue / "sources" / "correlative.toml"
    file.write_text(file.read_text().replace("required = false", "required = true"))
    strict = replace(settings, catalogue=catalogue)
    land("late.txt")
    land("two.txt")
    land("two.txt.md5", MD5.encode())
    land("two.txt.sha256", b"0" * 64)
    land("twice/a.txt")
    land("twice/a.txt.md5", MD5.encode())
    land("twice/MD5SUMS", b"%s  a.txt\n" % (b"0" * 32))
    run(strict)
    assert ledger(settings)["late.txt"][0] == "waiting" and ledger(settings)["two.txt"] == ("rejected", "checksum")
    assert ledger(settings)["twice/a.txt"] == ("rejected", "checksum")
    (note,) = (each for each in settings.quarantine.rglob("*.json") if "twice/a.txt" in each.read_text())
    assert "two announcements disagree" in json.loads(note.read_text())["detail"]
    land("late.txt.sha256", SHA256.encode())
    run(strict)
    assert ledger(settings)["late.txt"] == ("archived", "")


@pytest.mark.fault("F30", how="no sidecar: nobody but us vouches for the bytes, and that is seen")
def test_it_is_seen_whether_a_sender_vouched_for_the_bytes(
    settings: Settings, land: Callable[..., Path], orbitory: Orbitory
) -> None:
    land("alone.txt", b"alone\n")
    land("vouched.txt")
    land("vouched.txt.md5", MD5.encode())
    run(settings)
    assert asset(orbitory, "alone.txt")["checksums"] == []
    (vouched,) = asset(orbitory, "vouched.txt")["checksums"]
    assert (vouched["value"], vouched["origin"]) == (MD5, "vouched.txt.md5")


# --- documents --------------------------------------------------------------------------------------------------------

DOCUMENTS = {
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "integer": b'{"a": ' + b"9" * 1_000_000 + b"}",
    "nan": b'{"a": NaN, "b": Infinity, "c": 1e999999}',
    "twice": b'{"a": 1, "a": 2}',
    "nul": b'{"a": "\\u0000", "\\u0000": 1}',
    "surrogate": b'{"a": "\\ud800", "b": "\\udc00\\ud800"}',
    "encoding": '{"a": 1}'.encode("utf-16"),
    "mark": b'\xef\xbb\xbf{"a": 1}',
}


@pytest.mark.fault("F37", how="JSON 100,000 deep, with huge integers, NaN, keys twice, NUL, lone surrogates")
def test_json_of_any_content_is_archived_as_it_is_and_hurts_nobody(
    settings: Settings, land: Callable[..., Path]
) -> None:
    for name, content in DOCUMENTS.items():
        land(f"{name}.json", content)
    land("good.txt")
    run(settings)
    found = ledger(settings)
    assert found["good.txt"] == ("archived", "")
    assert {state for state, _ in found.values()} <= {"archived", "rejected"}
    assert {reason for _, reason in found.values()} <= {"", "type", "structure", "policy", "metadata"}


HOSTILE = ("'); DROP TABLE granule; --", "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "{{7*7}}", "x\u2028y")


@pytest.mark.fault("F38", how="SQL, formulas, markup and templates in the title, comment and sender of an upload")
def test_what_a_form_says_is_text_wherever_it_is_shown(
    settings: Settings, land: Callable[..., Path], orbitory: Orbitory
) -> None:
    for number, text in enumerate(HOSTILE):
        escaped = text.replace("&", "&amp;").replace("<", "&lt;")
        land(f"mallory-{number}/a.txt", b"%d\n" % number, source="upload")
        form = (
            f'<upload version="1"><file>a.txt</file><size>2</size><type>user_data</type><expires>3d</expires>'
            f"<sender>{escaped}</sender><created>2024-02-10T12:00:00Z</created><title>{escaped}</title>"
            f"<comment>{escaped}</comment></upload>"
        )
        land(f"mallory-{number}/a.txt.upload.xml", form.encode(), source="upload")
    report = run(settings, "upload")
    assert report.archived == 2 * len(HOSTILE), report.message
    assert not list((settings.landing / "upload").iterdir()), "their folders went with them"
    told = orbitory("search", "--source", "upload", "--json").json
    for element in ("title", "comment", "sender"):
        assert {item["search"][element] for item in told["items"]} == set(HOSTILE)


@pytest.mark.fault("F42", how="an error page, gzip, ZIP and a script under the names of data")
@pytest.mark.parametrize("name", ["a.h5", "a.ntf", "a.tif", "a.nc"])
def test_other_contents_than_the_name_promises_are_refused_before_any_library_opens_them(
    settings: Settings, land: Callable[..., Path], name: str
) -> None:
    contents = {
        "page": b"<!DOCTYPE html><html><body>503</body></html>",
        "gzip": gzip.compress(b"\x89HDF\r\n\x1a\n" + bytes(512)),
        "zip": b"PK\x03\x04" + bytes(64),
        "script": b"#!/bin/sh\nid\n",
    }
    for kind, content in contents.items():
        land(f"{kind}/{name}", content)
    run(settings)
    assert {ledger(settings)[f"{kind}/{name}"] for kind in contents} == {("rejected", "type")}
    notes = [json.loads(note.read_text()) for note in (settings.quarantine / "correlative").glob("*.json")]
    assert [note["stage"] for note in notes] == ["verify"] * len(contents)


@pytest.mark.fault("F23", how="cut off, empty and with foreign bytes behind, of every kind that states its length")
def test_what_is_cut_off_empty_or_followed_by_other_bytes_is_refused(
    settings: Settings, land: Callable[..., Path], tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "made.h5", "w") as file:
        file["x"] = list(range(1000))
    whole = (tmp_path / "made.h5").read_bytes()
    land("whole.h5", whole)
    land("cut.h5", whole[: len(whole) // 2])
    land("empty.h5", b"")
    land("empty.txt", b"")
    land("more.h5", whole + b"<html>")
    run(settings)
    found = ledger(settings)
    assert found == {
        "whole.h5": ("archived", ""),
        "cut.h5": ("rejected", "structure"),
        "empty.h5": ("rejected", "size"),
        "empty.txt": ("rejected", "size"),
        "more.h5": ("rejected", "structure"),
    }


# --- moments ----------------------------------------------------------------------------------------------------------


def stepwise(settings: Settings, between: Callable[[int], None]) -> None:
    """All steps of one batch, and what somebody does after each of them (0: after detect)."""
    with open_site(actor="dag/slow", settings=settings) as site:
        (batch,) = ingest.detect(site, "correlative").batches
        between(0)
        for number, step in enumerate(STEPS, 1):
            step(site, batch.id)
            between(number)
        ingest.report(site, "correlative")


@pytest.mark.fault("F27", how="delivered again while it is detected, verified, extracted, stored, archived")
@pytest.mark.parametrize("moment", range(5))
def test_the_same_file_delivered_again_in_flight_is_archived_once(
    settings: Settings, land: Callable[..., Path], moment: int
) -> None:
    land("a.txt")
    stepwise(settings, lambda done: land("a.txt") and None if done == moment else None)
    run(settings)
    assert stored(settings) == {"correlative/text/a.txt": GOOD}
    assert ledger(settings)["a.txt"][0] in ("archived", "duplicate")
    assert not (settings.landing / "correlative" / "a.txt").exists()


@pytest.mark.fault("F26", "F28", how="replaced by other bytes after each step")
@pytest.mark.parametrize("moment", range(5))
def test_other_bytes_under_the_same_name_in_flight_replace_nothing_that_is_archived(
    settings: Settings, land: Callable[..., Path], moment: int
) -> None:
    land("a.txt", b"first\n")
    stepwise(settings, lambda done: land("a.txt", b"second\n") and None if done == moment else None)
    before = stored(settings)
    run(settings)
    after = stored(settings)
    assert after.items() >= before.items()
    kept = [path.read_bytes() for path in settings.quarantine.rglob("a.txt")]
    if moment == len(STEPS):
        assert list(after.values()) == [b"first\n"] and kept == [b"second\n"]
    else:
        assert b"second\n" in [*after.values(), *kept]
        assert len(after) == 1


def test_what_changed_since_it_was_detected_waits_again_as_soon_as_that_is_seen(
    settings: Settings, land: Callable[..., Path]
) -> None:
    path = land("a.txt", b"first\n")
    with open_site(actor="dag/slow", settings=settings) as site:
        (batch,) = ingest.detect(site, "correlative").batches
        path.write_bytes(b"other\n")
        os.utime(path, (0, 0))
        ingest.verify(site, batch.id)
    assert ledger(settings)["a.txt"] == ("waiting", "changed")


@pytest.mark.fault("F29", how="the same bytes under another name")
def test_the_same_bytes_under_another_name_are_another_file_of_the_same_content(
    settings: Settings, land: Callable[..., Path], orbitory: Orbitory
) -> None:
    land("a.txt")
    land("b.txt")
    run(settings)
    assert {ledger(settings)[name] for name in ("a.txt", "b.txt")} == {("archived", "")}
    assert len(stored(settings)) == 2
    assert asset(orbitory, "a.txt")["same_content"] != []


@pytest.mark.fault("F25", how="a sender that stalls with the file open, and one that writes on after a pause")
def test_a_file_that_its_sender_still_holds_open_is_not_taken(settings: Settings, land: Callable[..., Path]) -> None:
    path = land("slow.txt", b"half")
    with path.open("ab") as sender:
        os.utime(path, (0, 0))
        run(settings)
        assert ledger(settings)["slow.txt"][0] == "waiting" and stored(settings) == {}
        sender.write(b" and whole\n")
    os.utime(path, (0, 0))
    run(settings)
    assert list(stored(settings).values()) == [b"half and whole\n"]


@pytest.mark.fault("F25", how="a sender that rewrites in place after every step")
@pytest.mark.parametrize("moment", range(4))
def test_a_sender_that_rewrites_in_place_before_the_archive_has_it_changes_nothing_archived(
    settings: Settings, land: Callable[..., Path], moment: int
) -> None:
    path = land("a.txt", b"first\n")

    def rewrite(done: int) -> None:
        if done == moment:
            path.write_bytes(b"other\n")
            os.utime(path, (0, 0))

    stepwise(settings, rewrite)
    run(settings)
    assert list(stored(settings).values()) == [b"other\n"]


@pytest.mark.fault("F31", how="a sidecar without its file, an upload without its form")
def test_half_a_delivery_waits(settings: Settings, land: Callable[..., Path]) -> None:
    land("a.txt.md5", MD5.encode())
    land("anna-1/a.txt", source="upload")
    run(settings)
    run(settings, "upload")
    assert {state for state, _ in ledger(settings).values()} == {"waiting"}


@pytest.mark.fault("F43", how="TZ=America/New_York, and a name of 29 February")
def test_the_zone_of_a_worker_changes_no_time(
    settings: Settings, land: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        land("a.txt")
        land("young.txt", age=0)
        run(settings)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert ledger(settings)["a.txt"] == ("archived", "") and ledger(settings)["young.txt"][0] == "waiting"
