"""Storage as sorted runs of lines, and two streams of them compared."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitory.scan.guard import Limits
from orbitory.scan.partitions import _ranges
from orbitory.scan.walk import differences, walk
from orbitory.tree import NOT_ARCHIVED, look
from orbitory.tree import walk as plain_walk
from scanning import ordinary

names = st.text("ab-./0", min_size=1, max_size=6).filter(lambda name: name.strip("./") == name and "//" not in name)


def lines(root: Path, *span: bytes | None) -> list[bytes]:
    return [line for run, _ in walk(root, *span) for line in run]  # type: ignore[arg-type]


def plant(root: Path, paths: set[str]) -> None:
    for path in sorted(paths):
        file = root / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.is_dir():
                file.write_bytes(path.encode())
        except (FileExistsError, NotADirectoryError):
            continue


@given(st.sets(names, max_size=12), st.sets(names, max_size=4))
def test_ranges_without_gaps_give_every_name_once_in_the_order_of_paths(paths: set[str], folders: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        plant(root, paths)
        expected = [b"%b\t%d" % (entry.path, entry.size) for entry in plain_walk(root)]
        assert lines(root) == expected
        found: list[bytes] = []
        for each in _ranges(f"{name}/" for name in folders):
            found += lines(root, each.low.encode(), None if each.high is None else each.high.encode())
        assert found == expected


chunks = st.dictionaries(st.binary(min_size=1, max_size=3), st.integers(0, 2), max_size=30)


@given(chunks, chunks, st.integers(1, 5), st.integers(1, 7))
def test_two_streams_differ_where_their_lines_do_however_they_are_cut(
    ours: dict[bytes, int], theirs: dict[bytes, int], one: int, other: int
) -> None:
    def cut(rows: dict[bytes, int], size: int) -> Iterator[list[bytes]]:
        whole = [b"%b\t%d" % each for each in sorted(rows.items())]
        yield []
        yield from (whole[start : start + size] for start in range(0, len(whole), size))

    expected = [
        (path, path in ours) for path in sorted(ours.keys() | theirs.keys()) if ours.get(path) != theirs.get(path)
    ]
    assert list(differences(cut(ours, one), cut(theirs, other))) == expected


@pytest.mark.req("F50")
def test_what_file_systems_put_where_they_are_mounted_is_no_file_of_the_archive(tmp_path: Path) -> None:
    for name in ("lost+found", ".snapshot"):
        (tmp_path / name).mkdir(mode=0)
        (tmp_path / "kept" / name).mkdir(parents=True, mode=0o755)
        (tmp_path / "kept" / name).chmod(0)
    (tmp_path / "kept" / "file").write_bytes(b"1")
    with ordinary():
        assert lines(tmp_path) == [b"kept/file\t1"]
        assert [entry.path for entry in plain_walk(tmp_path, skip=NOT_ARCHIVED)] == [b"kept/file"]


@pytest.mark.req("F50")
def test_a_folder_that_cannot_be_read_is_told_and_the_walk_goes_on(tmp_path: Path) -> None:
    plant(tmp_path, {"a/1", "b/2", "b/c/3", "d/4"})
    (tmp_path / "b").chmod(0)
    told: list[bytes] = []
    with ordinary():
        found = [line for run, _ in walk(tmp_path, unread=lambda folder, _: told.append(folder)) for line in run]
    assert (found, told) == ([b"a/1\t3", b"d/4\t3"], [b"b/"])


def test_a_walk_goes_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"1")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert lines(tmp_path / "root") == [b"link\t-"]
    assert look(tmp_path / "root", b"link/file") is None and look(tmp_path / "root", b"link") is not None


def test_what_is_no_ordinary_file_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"abc")
    assert lines(tmp_path) == [b"file\t3", b"link\t-", b"pipe\t-"]


@pytest.mark.req("F50")
@pytest.mark.parametrize(
    ("share", "few", "here", "of", "everywhere", "archive", "too_much"),
    [
        (0.01, 0, 1, 10, 1, 1000, True),  # a hundredth of ten files is a tenth of one, not none and not all
        (0.01, 0, 1, 100, 1, 1000, False),
        (0.01, 0, 2, 100, 2, 1000, True),
        (0.01, 0, 1, 99, 1, 1000, True),
        (1.0, 0, 100, 100, 100, 100, False),
        (0.0, 0, 1, 10**6, 1, 10**6, True),
        (0.01, 10, 10, 30, 10, 1000, False),
        (0.01, 10, 11, 30, 11, 1000, True),
        (0.01, 10, 10, 10, 10, 1000, True),  # a small sensor whose mount is gone
        (0.01, 10, 3, 3, 3, 1000, False),
        (0.01, 10, 3, 3, 3, 5, True),  # most of the archive
        (0.01, 10, 10, 1000, 1000, 10**5, False),  # of a hundred partitions each
        (0.01, 10, 10, 1000, 1000, 10**4, True),
        (0.01, 10, 0, 0, 0, 0, False),
    ],
)
def test_a_share_is_a_fraction_never_a_percentage(
    share: float, few: int, here: int, of: int, everywhere: int, archive: int, too_much: bool
) -> None:
    assert Limits(share=share, few=few).exceeded(here, of, everywhere, archive) is too_much
