"""Handing files in: checked first, form last, taken in by the next ingest, and its sender sees what became of it."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import pytest

from answers import Answer, Orbitory
from orbitory.settings import CHECKOUT

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
FORM = ".upload.xml"


@pytest.fixture
def orbitory(environment: dict[str, str]) -> Orbitory:
    """The real program, on this test's site; ``before`` stands before it on the command line."""

    def run(*arguments: str | Path, before: tuple[str, ...] = (), **more: Any) -> Answer:
        line = [*before, sys.executable, "-m", "orbitory", *map(str, arguments)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False, **more)
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def landing(site_root: Path) -> Path:
    folder = site_root / "landing" / "upload"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What a user has: a granule, a text, and one more below a folder."""
    folder = tmp_path / "data"
    (folder / "more").mkdir(parents=True)
    with h5py.File(folder / "ozone.h5", "w") as file:
        file["x"] = range(1000)
        file.attrs["time_coverage_start"] = "2024-02-10T00:00:00Z"
        file.attrs["time_coverage_end"] = "2024-02-10T01:00:00Z"
        for edge, value in {"lon_min": 10, "lat_min": 40, "lon_max": 12, "lat_max": 41}.items():
            file.attrs[f"geospatial_{edge}"] = value
    (folder / "notes.txt").write_text("measured with care\n")
    (folder / "more" / "größe & mehr.csv").write_text("a,b\n1,2\n")
    return folder


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def settle(folder: Path) -> None:
    """As if it had been handed in an hour ago."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_mtime - 3600,) * 2)


def told(answer: Answer, *words: str) -> None:
    __tracebackhide__ = True
    assert answer.err and all(line.startswith("orbitory: ") for line in answer.err.splitlines()), answer.err
    for word in words:
        assert word in answer.err, answer.err


def arrival(orbitory: Orbitory, name: str) -> dict[str, Any]:
    """What its sender sees of a file by its whole name; after it came again, the newest."""
    arrivals = orbitory("show", name, "--json").json["arrivals"]
    newest: dict[str, Any] = [each for each in arrivals if each["name"] == name][-1]
    return newest


# Handing in


def test_an_upload_stands_in_a_folder_of_its_own_with_checksums_and_forms(
    orbitory: Orbitory, landing: Path, data: Path
) -> None:
    answer = orbitory("upload", "--type", "in_situ", "--class", "licensed", "--json", data)
    assert answer.status == 0, answer.err
    folder = Path(answer.json["folder"])
    names = {"ozone.h5", "notes.txt", "more/größe & mehr.csv"}
    assert folder.parent == landing and re.fullmatch(r"[\w.-]+-\d{8}T\d{6}Z-[0-9a-f]{8}", folder.name)
    assert set(answer.json["files"]) == {f"{folder.name}/{name}" for name in names}
    assert answer.json["bytes"] == sum((data / name).stat().st_size for name in names)
    assert below(folder) == names | {f"{name}.sha256" for name in names} | {f"{name}{FORM}" for name in names}
    for name in names:
        content = (data / name).read_bytes()
        assert (folder / name).read_bytes() == content
        assert (folder / f"{name}.sha256").read_text().strip() == hashlib.sha256(content).hexdigest()
        assert "<class>licensed</class>" in (folder / f"{name}{FORM}").read_text()
    told(answer, "the next ingest of upload takes them in", "`orbitory show ")
    assert below(data) == names


def test_two_uploads_of_one_file_do_not_meet(orbitory: Orbitory, landing: Path, data: Path) -> None:
    made = [orbitory("upload", "--type", "user_data", "--json", data / "notes.txt").json["folder"] for _ in range(2)]
    assert len(set(made)) == 2


def test_only_the_sender_and_the_group_of_the_landing_folder_may_look_into_an_upload(
    orbitory: Orbitory, landing: Path, data: Path
) -> None:
    alone = Path(orbitory("upload", "--type", "user_data", "--json", data).json["folder"])
    assert modes(alone) == {0o700, 0o600}
    landing.chmod(0o2770)
    shared = Path(orbitory("upload", "--type", "user_data", "--json", data).json["folder"])
    assert modes(shared) == {0o2770, 0o640}


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o7777 for path in (folder, *folder.rglob("*"))}


@needs_strace
def test_each_byte_is_read_once(orbitory: Orbitory, landing: Path, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(os.urandom(5 << 20))
    log = tmp_path / "log"
    strace = ("strace", "-ff", "-y", "-o", str(log), "-e", "trace=read,readv,pread64,mmap,copy_file_range,sendfile")
    assert orbitory("upload", "--type", "user_data", tmp_path / "large.bin", before=strace).status == 0
    threads = tmp_path.glob("log.*")
    reads = [line for each in threads for line in each.read_text().splitlines() if "large.bin" in line]
    assert sum(int(line.rpartition("= ")[2]) for line in reads) == 5 << 20


# Refusals


@pytest.mark.req("G21")
def test_wrong_terms_are_explained_and_nothing_is_written(orbitory: Orbitory, landing: Path, data: Path) -> None:
    for arguments, words in (
        (("--type", "user_dat"), "did you mean 'user_data'?"),
        (("--type", "viirs_sdr"), "expected in_situ, model_output, user_data"),
        (("--type", "user_data", "--expires", "181d"), "user_data is kept for at most 180"),
        (("--type", "user_data", "--expires", "0d"), "such as 34d or 2w, at least 1d"),
        (("--type", "user_data", "--expires=-3d"), "such as 34d or 2w, at least 1d"),
        (("--type", "user_data", "--class", "secret"), "expected unrestricted, proprietary, licensed, itar"),
        (("--type", "user_data", "--title", "x" * 201), "title has 201 characters"),
        (("--type", "user_data", "--source", "correlative"), "takes no uploads"),
        (("--type", "user_data", "--source", "uplaod"), "did you mean 'upload'?"),
        (("--expires", "3d"), "--type"),
    ):
        answer = orbitory("upload", *arguments, data)
        assert (answer.status, answer.out) == (2, ""), arguments
        told(answer, words)
    assert list(landing.iterdir()) == []


@pytest.mark.req("G21")
def test_every_path_that_is_refused_is_told_at_once_and_nothing_is_written(
    orbitory: Orbitory, landing: Path, data: Path, tmp_path: Path
) -> None:
    (landing / "here.txt").write_text("x")
    (data / "link.txt").symlink_to(data / "notes.txt")
    (data / "folder_link").symlink_to(data / "more")
    (data / "empty.txt").touch()
    (data / ".hidden").write_text("x")
    (data / "half.part").write_text("x")
    (data / f"a.txt{FORM}").write_text("x")
    (data / "a.txt.sha256").write_text("x")
    (data / "two\nlines.txt").write_text("x")
    (data / "\udcff.txt").write_text("x")
    (data / ("x" * 195)).write_text("x")
    (data / "no\ufffecharacter.txt").write_text("x")
    (tmp_path / "hollow").mkdir()
    os.mkfifo(data / "fifo")
    twin = tmp_path / "other" / "notes.txt"
    twin.parent.mkdir()
    twin.write_text("x")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(data / "socket"))
    expected = {
        "absent.txt": "No such file",
        "here.txt": "stands in the landing zone already",
        "hollow": "is a folder without files",
        "other/notes.txt": "is called like",
        "link.txt": "name the file itself",
        "folder_link": "name the file itself",
        "fifo": "name the file itself",
        "socket": "name the file itself",
        "empty.txt": "is empty",
        ".hidden": "named like an unfinished file",
        "half.part": "named like an unfinished file",
        f"a.txt{FORM}": "named like what stands beside an upload",
        "a.txt.sha256": "named like what stands beside an upload",
        "two\\nlines.txt": "holds U+000A",
        "\\xff.txt": "is not UTF-8",
        "x" * 195: "at most 200 are accepted",
        "no\\ufffecharacter.txt": "U+FFFE",
    }
    answer = orbitory(
        "upload", "--type", "user_data", data, data / "absent.txt", landing / "here.txt", tmp_path / "hollow", twin
    )
    assert (answer.status, answer.out) == (2, "")
    lines = [line for line in answer.err.splitlines() if ": nothing was uploaded:" not in line]
    for name, words in expected.items():
        assert any(f"{name}: " in line and words in line for line in lines), (name, answer.err)
    assert len(lines) == len(expected)
    assert below(landing) == {"here.txt"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(orbitory: Orbitory, landing: Path, data: Path) -> None:
    (data / "notes.txt").chmod(0)
    answer = orbitory("upload", "--type", "user_data", data)
    assert answer.status == 2
    told(answer, "notes.txt: may not be read by you")


def test_a_landing_folder_that_is_not_there_is_never_made_on_an_unmounted_disk(
    orbitory: Orbitory, site_root: Path, data: Path
) -> None:
    answer = orbitory("upload", "--type", "user_data", data)
    assert answer.status == 2
    told(answer, "does not exist; is it mounted?")
    assert list(site_root.iterdir()) == []


@pytest.mark.fault("F15", how="the landing zone fills up under an upload")
def test_a_disk_that_fills_up_leaves_nothing_behind(orbitory: Orbitory, landing: Path, data: Path) -> None:
    (data / "large.bin").write_bytes(bytes(1 << 20))

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))

    answer = orbitory("upload", "--type", "user_data", data, preexec_fn=small)
    assert (answer.status, answer.out) == (3, "")
    told(answer, "nothing was uploaded: File too large")
    assert list(landing.iterdir()) == []


# Killed


@pytest.mark.fault("F01", how="SIGKILL of an upload")
@pytest.mark.req("G21")
@pytest.mark.faults
@needs_strace
def test_a_killed_upload_leaves_only_what_waits(orbitory: Orbitory, landing: Path, data: Path, tmp_path: Path) -> None:
    calls = ("mkdir", "rename", "syncfs", "write", "fchmod")
    log = tmp_path / "log"

    def handed_in(*traced: str) -> int:
        for folder in landing.iterdir():
            shutil.rmtree(folder)
        return orbitory("upload", "--type", "user_data", data, before=("strace", "-qq", *traced)).status

    handed_in("-o", "/dev/null")  # byte code is written
    assert handed_in("-o", str(log), "-e", f"trace={','.join(calls)}") == 0
    order = [line.partition("(")[0] for line in log.read_text().splitlines() if "(" in line]
    assert order.count("rename") == 9 and order.count("syncfs") == 2
    killed = 0
    for call in calls:
        for number in range(1, order.count(call) + 1)[-6:]:
            inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
            if handed_in("-o", "/dev/null", *inject) in (-9, 137):
                killed += 1
                check_left(landing, data)
    assert killed > 15


def check_left(landing: Path, data: Path) -> None:
    """Where a form stands, every file of the upload is whole; all else waits for a form, or has a temporary name."""
    for folder in landing.iterdir():
        found = below(folder)
        if any(name.endswith(FORM) and not Path(name).name.startswith(".") for name in found):
            for name in below(data):
                assert (folder / name).read_bytes() == (data / name).read_bytes()
                assert (folder / f"{name}.sha256").exists()
                assert {f"{name}{FORM}", str(Path(name).with_name(f".{Path(name).name}{FORM}.part"))} & found


@pytest.mark.fault("F31", how="an upload without its form, beyond the grace time")
@pytest.mark.req("G21")
def test_a_file_without_form_waits_and_is_given_up_after_the_grace_time(
    orbitory: Orbitory, landing: Path, data: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = Path(orbitory("upload", "--type", "user_data", "--json", data).json["folder"])
    (folder / f"notes.txt{FORM}").rename(folder / f".notes.txt{FORM}.part")
    settle(landing)
    environment["ORBITORY_CATALOGUE"] = str(impatient(tmp_path))
    first = orbitory("ingest", "upload", "--json").json
    assert first["archived"] == 2 * 3
    waiting = arrival(orbitory, f"{folder.name}/notes.txt")
    assert (waiting["state"], waiting["reason"]) == ("waiting", "set")
    assert "metadata" in waiting["detail"]
    orbitory("ingest", "upload", "--json")
    given_up = arrival(orbitory, f"{folder.name}/notes.txt")
    assert (given_up["state"], given_up["reason"]) == ("rejected", "incomplete")
    assert orbitory("audit", "--json").json["violations"] == []


def impatient(tmp_path: Path) -> Path:
    """A catalogue whose uploads wait no longer than from one run to the next."""
    copy = tmp_path / "catalogue"
    shutil.copytree(CHECKOUT / "include" / "catalogue", copy)
    file = copy / "sources" / "upload.toml"
    file.write_text(file.read_text().replace("grace_hours = 24", "grace_hours = 1e-9"))
    return copy


# Taken in


@pytest.mark.req("G20", "G21")
def test_an_upload_is_ingested_under_its_type_expiry_and_class_and_its_sender_sees_it(
    orbitory: Orbitory, landing: Path, site_root: Path, data: Path
) -> None:
    first = orbitory("upload", "--type", "in_situ", "--expires", "5w", "--class", "licensed",
                     "--title", "Ozone <2024>", "--json", data)  # fmt: skip
    second = orbitory("upload", "--type", "user_data", "--json", data / "notes.txt")
    settle(landing)
    report = orbitory("ingest", "upload", "--json")
    assert report.status == 0, report.err
    assert (report.json["detected"], report.json["archived"]) == (12, 12)

    folder = Path(first.json["folder"]).name
    shown = orbitory("show", f"{folder}/ozone.h5", "--json").json
    (granule,) = shown["granules"]
    assert (granule["state"], granule["product"], granule["classification"]) == ("archived", "in_situ", "licensed")
    assert granule["search"]["title"] == "Ozone <2024>" and granule["search"]["sender"]
    assert granule["sensing_start"] == "2024-02-10T00:00:00Z" and granule["area_km2"] > 0
    expiry = datetime.fromisoformat(granule["expires_at"])
    assert abs(expiry - datetime.now(UTC) - timedelta(days=35)) < timedelta(hours=1)
    names = {asset["path"].rpartition("/")[2]: asset["role"] for asset in shown["assets"]}
    assert names == {"ozone.h5": "data", "ozone.h5.sha256": "checksum", f"ozone.h5{FORM}": "metadata"}
    for asset in shown["assets"]:
        assert Path(asset["where"]).is_file()

    other = f"{Path(second.json['folder']).name}/notes.txt"
    (granule,) = orbitory("show", other, "--json").json["granules"]
    assert (granule["product"], granule["classification"]) == ("user_data", "itar")
    found = orbitory("search", "--product", "in_situ", "--where", "title=Ozone <2024>", "--json").json["items"]
    assert len(found) == 3
    assert below(landing) == set()
    assert orbitory("audit", "--json").json["violations"] == []


def by_another_tool(folder: Path, name: str, content: bytes, **changes: str | None) -> None:
    """A file and its form as any program may write them; None leaves an element out."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    texts: dict[str, str | None] = {
        "created": "2024-02-10T12:00:00Z", "sender": "robot", "expires": "3d", "type": "model_output",
        "size": str(len(content)), "file": name,
    }  # fmt: skip
    body = "".join(f"<{key}>{text}</{key}>" for key, text in (texts | changes).items() if text is not None)
    (folder / f"{name}{FORM}").write_text(f'<upload version="1">{body}</upload>')


@pytest.mark.fault("F34", "F36", how="forms that name other files, with document types, damaged")
@pytest.mark.req("G21")
def test_forms_of_other_tools_are_taken_or_refused_with_the_reason(orbitory: Orbitory, landing: Path) -> None:
    good = hashlib.sha256(b"good").hexdigest()
    drop = landing / "robot-1"
    by_another_tool(drop, "good.txt", b"good", sha256=good)
    by_another_tool(drop, "upper.txt", b"good", sha256=good.upper(), comment="two\nlines")
    by_another_tool(drop, "type.txt", b"x", type="viirs_sdr")
    by_another_tool(drop, "expiry.txt", b"x", expires="366d")
    by_another_tool(drop, "never.txt", b"x", expires="0d")
    by_another_tool(drop, "class.txt", b"x", **{"class": "public"})
    by_another_tool(drop, "sum.txt", b"x", sha256=good)
    by_another_tool(drop, "size.txt", b"x", size="2")
    by_another_tool(drop, "other.txt", b"x", file="good.txt")
    by_another_tool(drop, "lacks.txt", b"x", sender=None)
    by_another_tool(drop, "doctype.txt", b"x")
    (drop / f"doctype.txt{FORM}").write_text('<!DOCTYPE upload SYSTEM "file:///etc/passwd"><upload version="1"/>')
    by_another_tool(drop, "huge.txt", b"x", comment="x" * 70_000)
    by_another_tool(drop, "binary.txt", b"x")
    (drop / f"binary.txt{FORM}").write_bytes(bytes(range(256)))
    by_another_tool(drop, "page.h5", b"<html>503</html>")
    settle(landing)
    report = orbitory("ingest", "upload", "--json")
    assert report.status == 1, report.err
    expected = {
        "good.txt": ("archived", None, ""),
        "upper.txt": ("archived", None, ""),
        "type.txt": ("rejected", "policy", "type is 'viirs_sdr': expected in_situ, model_output, user_data"),
        "expiry.txt": ("rejected", "policy", "expires is 366 days: model_output is kept for at most 365"),
        "never.txt": ("rejected", "metadata", "expires is '0d'"),
        "class.txt": ("rejected", "metadata", "class is 'public'"),
        "sum.txt": ("rejected", "checksum", "the form announces sha256"),
        "size.txt": ("rejected", "size", "the form announces 2 bytes, the file has 1"),
        "other.txt": ("rejected", "metadata", "the form speaks of 'good.txt'"),
        "lacks.txt": ("rejected", "metadata", "lacks sender"),
        "doctype.txt": ("rejected", "policy", "document types"),
        "huge.txt": ("rejected", "policy", "at most 65536"),
        "binary.txt": ("rejected", "metadata", "is not UTF-8"),
        "page.h5": ("rejected", "type", "html"),
    }
    for name, (state, reason, words) in expected.items():
        file, form = (arrival(orbitory, f"robot-1/{each}") for each in (name, f"{name}{FORM}"))
        assert (file["state"], file["reason"]) == (state, reason), (name, file["detail"])
        assert words in (file["detail"] or ""), name
        assert form["state"] == state, "a file and its form share one fate"
    assert orbitory("audit", "--json").json["violations"] == []


@pytest.mark.req("G21")
def test_a_form_that_is_mended_in_quarantine_takes_the_file_in(
    orbitory: Orbitory, landing: Path, site_root: Path
) -> None:
    by_another_tool(landing / "robot-1", "a.txt", b"x", type="modeloutput")
    settle(landing)
    assert orbitory("ingest", "upload").status == 1
    refused = arrival(orbitory, "robot-1/a.txt")
    form = next((site_root / "quarantine").rglob(f"a.txt{FORM}"))
    form.write_text(form.read_text().replace("modeloutput", "model_output"))
    assert orbitory("quarantine", "redrive", str(refused["id"])).status == 0
    settle(landing)
    assert orbitory("ingest", "upload").status == 0
    assert orbitory("show", "robot-1/a.txt", "--json").json["granules"][0]["product"] == "model_output"
