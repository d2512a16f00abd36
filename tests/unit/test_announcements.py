"""What senders announce is read in every form they use, and refused with a reason where it is none."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orbitory.announcements import Announced, is_temporary, parse, role_of, target_of
from orbitory.catalogue import Source, load
from orbitory.errors import DataError
from orbitory.settings import CHECKOUT

IDPS = load(CHECKOUT / "include" / "catalogue").source("idps")
MD5 = "0123456789abcdef0123456789abcdef"
SHA256 = MD5 * 2


def with_checksums(**changes: object) -> Source:
    return IDPS.model_copy(update={"checksums": IDPS.checksums.model_copy(update=changes)})


def refusal(name: str, content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        parse(name, content, IDPS)
    assert caught.value.code == "checksum"
    return caught.value.detail


@pytest.mark.parametrize(
    ("name", "role", "target"),
    [
        ("A.h5", "data", None),
        ("A.h5.md5", "checksum", "A.h5"),
        ("sub/A.h5.SHA256", "checksum", "sub/A.h5"),
        ("A.h5.cksum", "checksum", "A.h5"),
        ("A.h5.md6", "data", None),
        ("md5", "data", None),
        ("sub/.md5", "data", None),
        ("MD5SUMS", "manifest", None),
        ("sub/md5sums", "manifest", None),
        ("manifest_20131114.txt", "manifest", None),
        ("manifest.txt.md5", "checksum", "manifest.txt"),
        ("order.PDR", "manifest", None),
        ("order.pdr.md5", "checksum", "order.pdr"),
    ],
)
def test_a_name_tells_whether_it_is_data_sidecar_or_manifest(name: str, role: str, target: str | None) -> None:
    assert (role_of(name, IDPS), target_of(name, IDPS)) == (role, target)


def test_a_source_that_knows_no_announcements_takes_all_for_data() -> None:
    source = with_checksums(sidecars=(), manifests=(), pdr=False)
    assert {role_of(name, source) for name in ("A.h5.md5", "MD5SUMS", "x.PDR")} == {"data"}


def test_a_manifest_pattern_goes_before_the_ending_of_a_sidecar() -> None:
    source = with_checksums(manifests=("checksums.*",))
    assert (role_of("checksums.sha256", source), target_of("checksums.sha256", source)) == ("manifest", None)


@pytest.mark.parametrize(
    ("name", "temporary"),
    [
        ("A.h5", False),
        ("A.h5.part", True),
        ("A.H5.TMP", True),
        (".A.h5.Xy12", True),
        ("A.h5.md5.part", True),
        (".~tmp~/A.h5", True),
        ("upload.tmp/A.h5", True),
        ("party.h5", False),
    ],
)
def test_a_temporary_name_or_folder_means_that_the_sender_is_not_finished(name: str, temporary: bool) -> None:
    assert is_temporary(name, IDPS) is temporary


@pytest.mark.parametrize(
    ("ending", "content", "algorithm", "value", "size"),
    [
        ("md5", MD5, "md5", MD5, None),
        ("md5", f"{MD5}\n", "md5", MD5, None),
        ("md5", f"  {MD5.upper()} \r\n", "md5", MD5, None),
        ("md5", f"{MD5}  A.h5\n", "md5", MD5, None),
        ("md5", f"{MD5} *A.h5\r\n", "md5", MD5, None),
        ("md5", f"{MD5}\tA.h5\n", "md5", MD5, None),
        ("md5", f"{MD5}  ./A.h5\n", "md5", MD5, None),
        ("md5", f"{MD5}  out/A.h5\n", "md5", MD5, None),
        ("md5", f"MD5 (A.h5) = {MD5}\n", "md5", MD5, None),
        ("md5", f"MD5(A.h5)= {MD5.upper()}\n", "md5", MD5, None),
        ("md5", f"\ufeff{MD5}  A.h5\n", "md5", MD5, None),
        ("md5", f"# made by a tool\n\n{MD5}  A.h5\n", "md5", MD5, None),
        ("sha1", "a" * 40, "sha1", "a" * 40, None),
        ("sha256", f"SHA2-256(A.h5)= {SHA256}", "sha256", SHA256, None),
        ("sha512", f"{SHA256 * 2}  A.h5", "sha512", SHA256 * 2, None),
        ("crc32", "DEADBEEF", "crc32", "deadbeef", None),
        ("crc", "12345678", "crc32", "12345678", None),
        ("crc", "4038471504 75 A.h5", "cksum", "4038471504", 75),
        ("crc", "4038471504", "cksum", "4038471504", None),
        ("cksum", "4038471504 75 A.h5\n", "cksum", "4038471504", 75),
        ("cksum", "0012345678 75\n", "cksum", "12345678", 75),
        ("cksum", "12345678\n", "cksum", "12345678", None),
        ("cksum", f"SHA256 (A.h5) = {SHA256}\n", "sha256", SHA256, None),
    ],
)
def test_every_form_of_sidecar_is_read(ending: str, content: str, algorithm: str, value: str, size: int | None) -> None:
    expected = Announced(target="A.h5", algorithm=algorithm, value=value, size=size)
    assert parse(f"sub/A.h5.{ending}", content.encode(), IDPS) == [expected]


@pytest.mark.fault("F30", "F34", how="announcements of every malformed kind, for files elsewhere")
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("A.h5.md5", b"", "announces nothing: it is empty"),
        ("A.h5.md5", b"\n# x\n", "announces nothing"),
        ("A.h5.md5", SHA256.encode(), "line 1: 64 hex digits are no md5"),
        ("A.h5.md5", MD5[:-1].encode(), "31 hex digits are no md5"),
        ("A.h5.md5", b"not a checksum", "expected a checksum and a file name, found 'not a checksum'"),
        ("A.h5.md5", f"{MD5}  B.h5".encode(), "line 1 speaks of 'B.h5', expected 'A.h5'"),
        ("A.h5.md5", f"SHA256 (A.h5) = {SHA256}".encode(), "holds sha256, expected md5"),
        ("A.h5.md5", f"WHIRLPOOL (A.h5) = {SHA256}".encode(), "algorithm 'WHIRLPOOL' is not supported"),
        ("A.h5.md5", f"MD5 (A.h5) = {MD5}00".encode(), "is no md5: expected 32 hex digits"),
        ("A.h5.md5", f"{MD5}  ../A.h5".encode(), "outside its own folder"),
        ("A.h5.md5", f"{MD5}  /etc/A.h5".encode(), "outside its own folder"),
        ("A.h5.md5", MD5.encode("utf-16"), "NUL bytes"),
        ("A.h5.md5", b"\x89HDF\r\n\x1a\n", "expected a checksum"),
        ("A.h5.md5", b"0" * 5_000, "longer than 4096 characters"),
        ("A.h5.cksum", b"4294967296 75 A.h5", "expected a decimal number below 2**32"),
        ("A.h5.crc32", b"123", "expected a checksum"),
        ("MD5SUMS", MD5.encode(), "line 1 names no file"),
        ("MD5SUMS", f"{MD5}  MD5SUMS\n".encode(), "names no file but itself"),
        ("MD5SUMS", f"{SHA256}  A.h5".encode(), "64 hex digits are no md5"),
        ("MD5SUMS", f"{MD5}  A.h5\n{MD5}  a/../../B.h5".encode(), "line 2: names 'a/../../B.h5'"),
        ("manifest.txt", b"dear colleague", "expected a checksum"),
    ],
)
def test_a_malformed_announcement_is_refused_with_its_line(name: str, content: bytes, reason: str) -> None:
    detail = refusal(name, content)
    assert reason in detail
    assert detail.isprintable()


def test_a_manifest_speaks_for_files_of_its_folder_and_below() -> None:
    content = f"{MD5}  A.h5\r\n{MD5.upper()} *sub/B.h5\r\n{MD5}  MD5SUMS\r\n"
    assert parse("2013/MD5SUMS", content.encode(), IDPS) == [
        Announced(target="A.h5", algorithm="md5", value=MD5),
        Announced(target="sub/B.h5", algorithm="md5", value=MD5),
    ]


def test_a_manifest_of_no_algorithm_tells_them_by_length() -> None:
    content = f"{MD5}  A\n{SHA256}  B\n{'a' * 40}  C\n{SHA256 * 2}  D\ndeadbeef  E\n4038471504 75 F\nMD5 (G) = {MD5}\n"
    found = parse("manifest.txt", content.encode(), IDPS)
    assert [each.algorithm for each in found] == ["md5", "sha256", "sha1", "sha512", "crc32", "cksum", "md5"]
    assert [each.target for each in found] == list("ABCDEFG")


def test_names_with_spaces_stars_brackets_and_escapes_are_read_as_written() -> None:
    content = f"{MD5}  a b.h5\n{MD5} **c.h5\nMD5 (d (1).h5) = {MD5}\n\\{MD5}  e\\\\f\\ng.h5\n"
    assert [each.target for each in parse("MD5SUMS", content.encode(), IDPS)] == [
        "a b.h5",
        "*c.h5",
        "d (1).h5",
        "e\\f\ng.h5",
    ]


def test_an_undecodable_name_is_shown_as_the_ledger_shows_it() -> None:
    (found,) = parse("MD5SUMS", MD5.encode() + b"  bad\xff.h5\n", IDPS)
    assert found.target == b"bad\xff.h5".decode("utf-8", "backslashreplace")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["md5sum"], "MD5SUMS"),
        (["sha256sum", "--tag"], "SHA256SUMS"),
        (["sha512sum", "-b"], "SHA512SUMS"),
        (["cksum"], "manifest.txt"),
    ],
)
def test_what_the_system_tools_write_is_read(tmp_path: Path, command: list[str], name: str) -> None:
    files = {"a b.h5": b"one", "c.h5": b"two" * 1000}
    for each, content in files.items():
        (tmp_path / each).write_bytes(content)
    written = subprocess.run([*command, *files], cwd=tmp_path, check=True, capture_output=True).stdout
    found = parse(name, written, IDPS)
    assert [each.target for each in found] == list(files)
    for each in found:
        if each.algorithm == "cksum":
            assert each.size == len(files[each.target])
        else:
            assert each.value == hashlib.new(each.algorithm, files[each.target]).hexdigest()


RECORD = f"""\
ORIGINATING_SYSTEM = NOAA;
TOTAL_FILE_COUNT = 2;
OBJECT = FILE_GROUP;
  DATA_TYPE = VIIRS;
  OBJECT = FILE_SPEC;
    DIRECTORY_ID = "/export/out";
    FILE_ID = "A.h5";
    FILE_TYPE = HDF5;
    FILE_SIZE = 145512;
    FILE_CKSUM_TYPE = MD5;
    FILE_CKSUM_VALUE = {MD5.upper()};
  END_OBJECT = FILE_SPEC;
  OBJECT = FILE_SPEC;
    FILE_ID = B.h5;
    FILE_SIZE = 75;
    FILE_CKSUM_TYPE = CKSUM;
    FILE_CKSUM_VALUE = 4038471504;
  END_OBJECT = FILE_SPEC;
END_OBJECT = FILE_GROUP;
"""
SPECIFIED = [
    Announced(target="A.h5", algorithm="md5", value=MD5, size=145512),
    Announced(target="B.h5", algorithm="cksum", value="4038471504", size=75),
]


@pytest.mark.parametrize(
    "text",
    [
        RECORD,
        RECORD.replace("\n", "\r\n"),
        RECORD.replace(";\n", "\n"),
        RECORD.replace("\n", " "),
        RECORD.replace("OBJECT", "GROUP"),
        RECORD.replace(" = ", "=").lower().replace("a.h5", "A.h5").replace("b.h5", "B.h5"),
    ],
    ids=["plain", "CRLF", "no semicolons", "one line", "groups", "lower case"],
)
def test_a_delivery_record_names_files_with_size_and_checksum(text: str) -> None:
    assert parse("order.PDR", text.encode(), IDPS) == SPECIFIED


def test_a_delivery_record_without_checksums_vouches_for_sizes() -> None:
    text = "\n".join(line for line in RECORD.splitlines() if "CKSUM" not in line)
    found = parse("order.PDR", text.encode(), IDPS)
    assert [(each.algorithm, each.value, each.size) for each in found] == [
        ("size", "145512", 145512),
        ("size", "75", 75),
    ]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("END_OBJECT = FILE_SPEC;\nEND_OBJECT = FILE_GROUP;\n", "", "truncated"),
        ("TOTAL_FILE_COUNT = 2", "TOTAL_FILE_COUNT = 3", "TOTAL_FILE_COUNT is 3, but 2 files are named"),
        ('"A.h5"', '"../A.h5"', "FILE_ID must be a plain file name"),
        ('"A.h5"', '""', "FILE_ID must be a plain file name"),
        ("145512", "145,512", "FILE_SIZE of 'A.h5' must be a number of bytes"),
        ("= MD5", "= ROT13", "algorithm 'ROT13' is not supported"),
        (MD5.upper(), MD5[:-2], "is no md5"),
        ("FILE_SPEC", "FILE", "holds no FILE_SPEC"),
    ],
)
def test_a_malformed_delivery_record_is_refused(old: str, new: str, reason: str) -> None:
    assert old in RECORD
    assert reason in refusal("order.PDR", RECORD.replace(old, new).encode())


@given(
    st.sampled_from(["A.h5.md5", "A.h5.sha256", "A.h5.crc", "A.h5.cksum", "MD5SUMS", "manifest.txt", "x.pdr"]),
    st.one_of(
        st.binary(max_size=400),
        st.text(alphabet="0123456789abcdefA.h5 *\t\r\n()=MD\\/#é\u202e", max_size=200).map(str.encode),
        st.text(alphabet='OBJECTFILE_SPEC=; \n"19', max_size=200).map(str.encode),
    ),
)
@example("x.pdr", "OBJECT=FILE_SPEC;FILE_ID=a;FILE_SIZE=²;END_OBJECT;".encode())
@example("A.h5.cksum", "١٢٣".encode())
def test_whatever_a_sender_writes_is_read_or_refused_as_checksum(name: str, content: bytes) -> None:
    try:
        found = parse(name, content, IDPS)
    except DataError as error:
        assert error.code == "checksum"
        assert error.detail.isprintable()
    else:
        assert found
        for each in found:
            assert not each.target.startswith("/") and ".." not in each.target.split("/")
            assert each.value == each.value.lower() and each.value.isascii()
