"""A TAR beside a strip: listed by name, never unpacked; what could write outside of its folder is refused."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbitory.errors import DataError
from orbitory.extract.strips import tar_members as module
from orbitory.extract.strips.tar_members import tar_members
from orbitory.extract.structure import Bytes
from strip_samples import SCENE, imd, tar

LONG = "DVD_VOL_1/" + "a" * 90 + "/" + "b" * 90 + ".XML"


def listed(path: Path) -> dict[str, bytes]:
    """Names and contents, by offset."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = Bytes(descriptor, path.stat().st_size)
        return {member.name: data.at(member.offset, member.size) for member in tar_members(data)}
    finally:
        os.close(descriptor)


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        listed(path)
    return caught.value.code


def info(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_found_in_every_form_of_tar(tmp_path: Path, form: int) -> None:
    files = {f"{SCENE}.XML": b"<isd/>", "./a/b.IMD": imd(), "empty": b"", LONG: b"x" * 5000}
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as bundle:
        bundle.addfile(info("a", tarfile.DIRTYPE))
        for name, content in files.items():
            member = info(name)
            member.size = len(content)
            bundle.addfile(member, io.BytesIO(content))
    assert listed(tmp_path / "a.tar") == files


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-zé/]{1,200}[a-z]", fullmatch=True), st.binary(max_size=1200), max_size=6))
def test_members_are_those_that_the_standard_library_finds(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    files = {name: content for name, content in files.items() if not name.startswith("/")}
    path = tar(tmp_path_factory.mktemp("tar") / "a.tar", files)
    assert listed(path) == files


@pytest.mark.fault("F35", how="members of one name")
def test_of_two_members_with_one_name_the_last_counts_as_when_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as bundle:
        for content in (b"first", b"last"):
            member = info("x.xml")
            member.size = len(content)
            bundle.addfile(member, io.BytesIO(content))
    assert listed(tmp_path / "a.tar") == {"x.xml": b"last"}


@pytest.mark.fault("F35", how="TAR with ../, absolute names, links, devices")
@pytest.mark.parametrize(
    "member",
    [
        *(info(name) for name in ("/etc/passwd", "../x.xml", "a/../../x.xml", "a\\..\\x.xml", "C:/x.xml", "\\x.xml")),
        info("x.xml", tarfile.SYMTYPE, "/etc/passwd"),
        info("x.xml", tarfile.LNKTYPE, "y.xml"),
        info("x.xml", tarfile.FIFOTYPE),
        info("x.xml", tarfile.CHRTYPE),
        info("x.xml", tarfile.BLKTYPE),
        info("../up", tarfile.DIRTYPE),
        info("/" + "a" * 300),
    ],
    ids=range(13),
)
def test_what_would_leave_its_folder_when_unpacked_is_refused_by_policy(
    tmp_path: Path, member: tarfile.TarInfo
) -> None:
    assert refusal(tar(tmp_path / "a.tar", {f"{SCENE}.XML": b"<isd/>"}, member)) == "policy"


@pytest.mark.fault("F35", how="TAR cut off anywhere")
def test_cut_off_anywhere_it_is_refused(tmp_path: Path) -> None:
    whole = tar(tmp_path / "a.tar", {"a.xml": b"x" * 700, LONG: b"y" * 10}).read_bytes()
    end = len(whole.rstrip(b"\0"))
    cut = tmp_path / "cut.tar"
    for size in range(0, end, 37):
        cut.write_bytes(whole[:size])
        assert refusal(cut) == "structure", size


@pytest.mark.fault("F35", how="too many members")
def test_more_members_than_any_order_has_are_refused_by_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMBER_LIMIT", 10)
    assert refusal(tar(tmp_path / "a.tar", {f"{n}.xml": b"" for n in range(30)})) == "policy"


@pytest.mark.fault("F35", how="GNU and pax names of megabytes")
def test_a_name_of_megabytes_is_refused_by_policy(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as bundle:
        bundle.addfile(info("a/" * 100_000))
    assert refusal(tmp_path / "a.tar") == "policy"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_gives_members_within_the_file_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    data = bytearray(tar(path, {"a.xml": b"x" * 700, LONG: b"y" * 10}).read_bytes())
    for place, value in places:
        data[place] = value
    path.write_bytes(data)
    try:
        listed(path)
    except DataError as error:
        assert error.code in ("structure", "policy")
