"""Files move without ever being overwritten, and names from outside never lead outside."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from orbitory.errors import IntegrityError, Transient
from orbitory.storage import Storage, same_bytes, set_aside
from orbitory.zones import (
    INCOMING,
    SENTINEL,
    FileSystemSync,
    has_writer,
    is_regular,
    move,
    names_below,
    open_beneath,
    read_small,
    scan,
    stat_of,
    unlink_if_same,
)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(tmp_path / "storage")
    storage.prepare(holds_assets=False)
    return storage


def place(storage: Storage, file: Path, path: str, *, careful: bool = False) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        storage.place(descriptor, path, blake3(file.read_bytes()).digest(), part="1/1", careful=careful)
    finally:
        os.close(descriptor)


def test_scan_reports_every_name_but_folders_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    landing = tmp_path / "sub"
    (landing / "deep" / "a\nb").write_text("x")
    (landing / os.fsdecode(b"\xff")).write_text("x")
    (landing / "link").symlink_to(tmp_path / "outside", target_is_directory=True)
    os.mkfifo(landing / "fifo")
    found = {seen.path: seen.regular for seen in scan(landing)}
    assert found == {b"deep/a\nb": True, b"\xff": True, b"link": False, b"fifo": False}


def test_names_alone_come_in_the_order_of_their_bytes_whatever_folders_they_stand_in(tmp_path: Path) -> None:
    names = [b"a-b", b"a/b/c", b"a/b-c", b"a/z", b"a0", b"\xff/x", b"z"]
    for name in names:
        path = tmp_path / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = list(names_below(tmp_path))
    assert found == sorted(names)
    assert set(found) == {seen.path for seen in scan(tmp_path)}


@pytest.mark.fault("F34", how="names that climb, links in folders")
@pytest.mark.parametrize("path", [b"../secret", b"/etc/passwd", b"link/secret", b"sub/../../secret"])
def test_no_name_leads_out_of_its_zone(tmp_path: Path, path: bytes) -> None:
    zone = tmp_path / "zone"
    (zone / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (zone / "link").symlink_to(tmp_path)
    with pytest.raises(OSError):
        open_beneath(zone, path)
    assert read_small(zone, path, 100) is None


@pytest.mark.fault("F33", how="a FIFO called like data")
def test_a_fifo_does_not_block_and_is_not_regular(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    descriptor = open_beneath(tmp_path, b"fifo")
    assert not is_regular(descriptor)
    os.close(descriptor)
    assert read_small(tmp_path, b"fifo", 100) is None


def test_a_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(OSError):
            open_beneath(tmp_path, b"s")


@pytest.mark.fault("F25", how="a sender with the file open")
def test_an_open_writer_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("w") as writer:
        writer.write("half")
        writer.flush()
        descriptor = open_beneath(tmp_path, b"file")
        assert has_writer(descriptor)
    assert not has_writer(descriptor)
    os.close(descriptor)


def test_a_file_is_linked_not_copied_on_one_file_system(tmp_path: Path, storage: Storage) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"bytes")
    place(storage, file, "a/b/file")
    assert (storage.root / "a/b/file").samefile(file)


def test_placing_twice_is_harmless(tmp_path: Path, storage: Storage) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"bytes")
    place(storage, file, "a")
    place(storage, file, "a")
    assert (storage.root / "a").read_bytes() == b"bytes"


def test_a_copy_of_an_earlier_try_is_taken_for_what_it_is(tmp_path: Path, storage: Storage) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    (tmp_path / "kept by its sender").hardlink_to(tmp_path / "file")  # so that it is copied
    place(storage, tmp_path / "file", "a")
    copied = (storage.root / "a").stat().st_ino
    place(storage, tmp_path / "file", "a")
    assert (storage.root / "a").stat().st_ino == copied


@pytest.mark.parametrize("stands", [False, True])
def test_what_is_given_back_stands_in_landing_alone(tmp_path: Path, storage: Storage, stands: bool) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    place(storage, tmp_path / "file", "a")
    if not stands:
        (tmp_path / "file").unlink()
    storage.give_back("a", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"bytes" and not (storage.root / "a").exists()


def test_bytes_are_compared_whatever_size_and_time_say(tmp_path: Path) -> None:
    for name, content in (("a", b"bytes"), ("b", b"other")):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (0, 0))
    assert not same_bytes(tmp_path / "a", tmp_path / "b")


def test_what_cannot_be_read_does_not_agree(tmp_path: Path, storage: Storage) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_bytes(b"bytes")
    (storage.root / "linked").symlink_to(tmp_path / "elsewhere")
    assert not storage.agrees("linked/a", blake3(b"bytes").digest())


@pytest.mark.fault("F33", how="a file with a second hard link")
def test_a_file_with_another_name_is_copied_so_that_its_sender_cannot_change_the_archive(
    tmp_path: Path, storage: Storage
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"bytes")
    os.link(file, tmp_path / "kept by its sender")
    place(storage, file, "a")
    (tmp_path / "kept by its sender").write_bytes(b"BYTES")
    assert (storage.root / "a").read_bytes() == b"bytes"


def test_a_careful_copy_and_a_repair_sync_the_bytes_and_then_the_name(
    tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    plain = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for name, careful in (("a", False), ("b", True)):
        (tmp_path / name).write_bytes(b"bytes")
        (tmp_path / f"kept {name}").hardlink_to(tmp_path / name)  # so that it is copied
        place(storage, tmp_path / name, f"sub/{name}", careful=careful)
    assert synced == ["1", "sub"], "of the copy that need not be careful nothing: its batch is synced as a whole"
    synced.clear()
    with (tmp_path / "a").open("rb") as source:
        storage.repair(source.fileno(), "sub/c", blake3(b"bytes").digest(), part="2/c", aside=tmp_path / "aside")
    assert synced == ["c", "sub"]


def test_careful_placing_copies(tmp_path: Path, storage: Storage) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"bytes")
    place(storage, file, "a", careful=True)
    assert not (storage.root / "a").samefile(file)
    assert (storage.root / "a").read_bytes() == b"bytes"
    (storage.root / INCOMING / "1" / "of a try that was killed").write_bytes(b"byt")
    storage.discard_incoming(1)
    assert not (storage.root / INCOMING / "1").exists()
    assert sorted(path.name for path in storage.root.rglob("*") if path.is_file()) == [SENTINEL, "a"]


@pytest.mark.parametrize("careful", [False, True])
def test_nothing_is_ever_overwritten(tmp_path: Path, storage: Storage, careful: bool) -> None:
    (storage.root / "a").write_bytes(b"other")
    file = tmp_path / "file"
    file.write_bytes(b"bytes")
    with pytest.raises(IntegrityError, match="already has a with other bytes"):
        place(storage, file, "a", careful=careful)
    assert (storage.root / "a").read_bytes() == b"other"
    assert file.read_bytes() == b"bytes"


@pytest.mark.fault("F24", how="bytes change between hash and copy")
def test_a_copy_that_differs_from_the_verified_bytes_never_appears(tmp_path: Path, storage: Storage) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"bytes")
    descriptor = os.open(file, os.O_RDONLY)
    with pytest.raises(Transient, match="changed while it was copied"):
        storage.place(descriptor, "a", b"\0" * 32, part="1/1", careful=True)
    os.close(descriptor)
    assert not (storage.root / "a").exists()


def test_a_storage_without_its_sentinel_is_unmounted_not_empty(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="looks unmounted"):
        Storage(tmp_path / "gone").prepare(holds_assets=True)


def test_moving_refuses_to_overwrite_and_reports_a_missing_source(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        move(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "b"
    assert not move(tmp_path / "none", tmp_path / "c")
    assert move(tmp_path / "a", tmp_path / "new" / "c")
    assert (tmp_path / "new" / "c").read_text() == "a"


@pytest.mark.fault("F22", how="landing and quarantine on two file systems")
def test_moving_works_across_file_systems(tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    other = shm / f"orbitory-test-{os.getpid()}"
    try:
        (tmp_path / "file").write_bytes(b"bytes")
        (tmp_path / "link").symlink_to("anywhere")
        assert move(tmp_path / "file", other / "file")
        assert move(tmp_path / "link", other / "link")
        assert (other / "file").read_bytes() == b"bytes"
        assert (other / "link").readlink() == Path("anywhere")
        assert list(tmp_path.iterdir()) == []
    finally:
        for leftover in other.glob("*"):
            leftover.unlink()
        other.rmdir()


@pytest.mark.fault("F26", how="replaced before the landing name goes")
def test_a_landing_name_goes_only_while_it_is_still_our_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"ours")
    ours = stat_of(file.lstat())
    file.unlink()
    file.write_bytes(b"new delivery")
    assert not unlink_if_same(tmp_path, b"file", ours)
    assert file.exists()
    assert unlink_if_same(tmp_path, b"file", stat_of(file.lstat()))
    assert unlink_if_same(tmp_path, b"file", ours), "a name already gone counts as removed"


def test_syncing_a_file_system_succeeds_on_a_healthy_disk(tmp_path: Path) -> None:
    with FileSystemSync(tmp_path) as disk:
        (tmp_path / "file").write_bytes(b"bytes")
        disk.sync()


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder of another file system than tmp_path."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_what_is_set_aside_replaces_nothing_and_takes_another_name(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        (tmp_path / "file").write_bytes(content)
        set_aside(tmp_path / "file", tmp_path / "aside" / "file")
    set_aside(tmp_path / "file", tmp_path / "aside" / "file")  # nothing stands there
    assert (tmp_path / "aside" / "file").read_bytes() == b"one"
    assert (tmp_path / "aside" / "file.1").read_bytes() == b"two"


@pytest.mark.fault("F22", how="a move between file systems is cut short")
@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_move_between_file_systems_cut_short_before_the_original_went_is_finished(
    tmp_path: Path, elsewhere: Path, kind: str
) -> None:
    source, target = tmp_path / "file", elsewhere / "aside" / "file"
    target.parent.mkdir()
    for each in (source, target):
        each.write_bytes(b"bytes") if kind == "file" else each.symlink_to("somewhere")
    set_aside(source, target)
    assert not os.path.lexists(source) and list(target.parent.iterdir()) == [target]


def test_what_cannot_be_moved_to_another_file_system_stays_within_storage(
    tmp_path: Path, storage: Storage, elsewhere: Path
) -> None:
    """As a folder in a file's place cannot, or bytes that the disk does not read."""
    (storage.root / "a" / "b").mkdir(parents=True)
    (tmp_path / "copy").write_bytes(b"good")
    with (tmp_path / "copy").open("rb") as copy:
        kept = storage.repair(
            copy.fileno(), "a", blake3(b"good").digest(), part="repair/1", aside=elsewhere / "damaged" / "7" / "a"
        )
    assert (storage.root / "a").read_bytes() == b"good"
    assert kept == storage.root / ".incoming" / "unreadable" / "7" / "a" and (kept / "b").is_dir()
