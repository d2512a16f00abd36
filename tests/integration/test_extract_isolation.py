"""What a hostile file costs: itself. And what the process that reads it may do: read one folder, nothing else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from extraction import extracted, fate, generic_task, hdf5, outside, sole
from orbitory.errors import ConfigurationError, NotReady, Transient
from orbitory.extract import ExtractTask
from orbitory.extract import nursery as nurseries
from orbitory.model import Stat
from orbitory.settings import CHECKOUT
from orbitory.workers import Isolated, landlock_abi

needs_landlock = pytest.mark.skipif(landlock_abi() == 0, reason="this kernel has no Landlock")


def slow(path: Path, depth: int = 6000) -> Path:
    """Valid, and slow to read: groups nested so deep that every path is long."""
    with h5py.File(path, "w", libver="latest") as file:
        group = h5py.h5g.open(file.id, b"/")
        for _ in range(depth):
            group = h5py.h5g.create(group, b"g")
    return path


def workers() -> list[int]:
    """Processes that read foreign files for this one."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    found = []
    for nursery in (int(pid) for pid in children.read_text().split()):
        with suppress(OSError):
            if b"orbitory.extract.child" in Path(f"/proc/{nursery}/cmdline").read_bytes():
                found += [int(pid) for pid in Path(f"/proc/{nursery}/task/{nursery}/children").read_text().split()]
    return found


@pytest.mark.fault("F33", "F41", how="FIFO, socket, link, folder and /dev/zero called a.h5")
@pytest.mark.parametrize("kind", ["fifo", "socket", "link", "folder", "device"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.h5"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    elif kind == "link":
        path.symlink_to(hdf5(tmp_path / "target.h5"))
    elif kind == "folder":
        path.mkdir()
    else:
        if os.geteuid() != 0:
            pytest.skip("only root makes devices")
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero
    started = time.monotonic()
    assert sole(path) in ("type", "not_ready")
    assert kind == "device" or sole(path) == "type"
    assert time.monotonic() - started < 20


@pytest.mark.fault("F26", how="gone or replaced when the parser opens it")
def test_a_file_that_vanished_or_was_replaced_is_not_judged(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5")
    status = path.stat()
    seen = Stat(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    tasks = [
        replace(generic_task(path, 1), stat=seen),
        replace(generic_task(path, 2), stat=replace(seen, ctime_ns=seen.ctime_ns + 1)),
        generic_task(tmp_path / "gone.h5", 3),
    ]
    same, replaced, gone = extracted(tmp_path, tasks)
    assert fate(same) == "archived"
    assert isinstance(replaced.error, NotReady)
    assert isinstance(gone.error, NotReady)


def killing(times: int, stop: threading.Event) -> Iterator[int]:
    """Kill the worker ``times`` times, as the kernel does when memory runs out; yields each victim."""
    victims: set[int] = set()
    while len(victims) < times and not stop.is_set():
        for pid in [pid for pid in workers() if pid not in victims and busy(pid)]:
            os.kill(pid, signal.SIGKILL)
            victims.add(pid)
            yield pid
        stop.wait(0.05)


def busy(pid: int) -> bool:
    """Whether it has used processor time."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]) > 0
    return False


@pytest.mark.fault("F08", how="SIGKILL of the process that parses, once and twice")
@pytest.mark.parametrize(("times", "expected"), [(1, "archived"), (2, "parser_crashed")])
def test_a_killed_parser_is_tried_once_more_and_the_others_do_not_notice(
    tmp_path: Path, times: int, expected: str
) -> None:
    paths = [hdf5(tmp_path / f"{n}.h5", n) for n in range(3)] + [slow(tmp_path / "slow.h5", 900)]
    paths += [hdf5(tmp_path / f"{n}.h5", n) for n in range(4, 8)]
    stop, victims = threading.Event(), list[int]()
    with Isolated(tmp_path) as isolated:
        results = isolated.map(generic_task(path, number) for number, path in enumerate(paths))
        found = [next(results) for _ in range(3)]
        killer = threading.Thread(target=lambda: victims.extend(killing(times, stop)))
        killer.start()
        found.append(next(results))
        stop.set()
        killer.join()
        found += list(results)
    assert len(victims) == times
    assert [result.id for result in found] == list(range(8))
    assert [fate(result) for result in found] == ["archived"] * 3 + [expected] + ["archived"] * 4
    if expected != "archived":
        assert "SIGKILL" in str(found[3].error)
        assert "slow.h5" in str(found[3].error)


@pytest.mark.fault("F41", how="a file that is valid and slow beyond its time")
def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    tasks = [generic_task(hdf5(tmp_path / "a.h5"), 0), generic_task(slow(tmp_path / "slow.h5"), 1)]
    tasks.append(generic_task(hdf5(tmp_path / "b.h5"), 2))
    started = time.monotonic()
    results = extracted(tmp_path, tasks, timeout_seconds=0.5)
    assert [fate(result) for result in results] == ["archived", "timeout", "archived"]
    assert time.monotonic() - started < 20


def test_a_reader_that_is_slow_to_fetch_results_is_no_timeout(tmp_path: Path) -> None:
    with Isolated(tmp_path, timeout_seconds=0.3) as isolated:
        for number, result in enumerate(isolated.map(generic_task(hdf5(tmp_path / f"{n}.h5"), n) for n in range(70))):
            if number in (0, 40):
                time.sleep(0.8)
            assert fate(result) == "archived"


@pytest.mark.fault("F39", "F08", how="200 MiB in a chunk of some kB, parsed with 128 MiB")
def test_a_bomb_is_refused_by_its_memory_and_spares_the_next_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        data = np.zeros((200 << 20,), "u1")
        file.create_dataset("x", data=data, chunks=data.shape, compression="gzip")
    assert (tmp_path / "bomb.h5").stat().st_size < 1 << 20
    tasks = [generic_task(tmp_path / "bomb.h5", 0), generic_task(hdf5(tmp_path / "a.h5"), 1)]
    results = extracted(tmp_path, tasks, memory_bytes=128 << 20)
    assert [fate(result) for result in results] == ["policy", "archived"]


def test_every_worker_is_replaced_after_its_share_of_files(tmp_path: Path) -> None:
    paths = [hdf5(tmp_path / f"{n}.h5", n) for n in range(45)]
    seen = set()
    with Isolated(tmp_path, recycle=10) as isolated:
        for number, result in enumerate(isolated.map(generic_task(path, n) for n, path in enumerate(paths))):
            assert result.id == number
            assert fate(result) == "archived"
            seen.update(workers())
    assert len(seen) == 5
    assert workers() == []


def test_results_may_be_left_behind(tmp_path: Path) -> None:
    paths = [hdf5(tmp_path / f"{n}.h5", n) for n in range(5)]
    with Isolated(tmp_path) as isolated:
        assert next(isolated.map(map(generic_task, paths))).extraction
        assert [fate(each) for each in isolated.map(map(generic_task, paths))] == ["archived"] * 5


@pytest.mark.fault("F32", how="newline, quotes, leading dash, not UTF-8, to the parser")
def test_names_that_no_shell_would_take_are_read(tmp_path: Path) -> None:
    tasks = []
    for number, name in enumerate((b"a\nb.h5", b"\xff\xfe.h5", b"$(id) 'x'.h5", b"-rf.h5", b"x" * 240 + b".h5")):
        path = hdf5(tmp_path / "made.h5", number).rename(tmp_path / os.fsdecode(name))
        shown = name.decode("utf-8", "backslashreplace")
        tasks.append(replace(generic_task(path, number), name=shown))
    assert [fate(result) for result in extracted(tmp_path, tasks)] == ["archived"] * 5


def test_a_fault_of_the_machine_is_not_the_files_fault(tmp_path: Path) -> None:
    if os.geteuid() == 0 and landlock_abi() == 0:
        pytest.skip("root without Landlock may read everything")
    folder = outside(tmp_path)
    inner = tmp_path / "landing"
    inner.mkdir()
    with pytest.raises(Transient, match=r"other\.h5"):
        extracted(inner, [generic_task(folder / "other.h5")])


def test_nothing_that_parses_foreign_bytes_is_loaded_on_our_side() -> None:
    code = "import sys, orbitory.workers, orbitory.extract; print([m for m in %r if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code % (["h5py", "rasterio", "netCDF4", "shapely", "numpy"],)],
        env={"PYTHONPATH": str(CHECKOUT / "include")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "[]"


def test_no_credential_reaches_the_process_that_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORBITORY_DATABASE", "postgresql://daily:geheim@localhost/x")
    monkeypatch.setattr(nurseries, "_own", None)
    with Isolated(tmp_path) as isolated:
        assert fate(next(isolated.map([generic_task(hdf5(tmp_path / "a.h5"))]))) == "archived"
        for pid in workers():
            assert b"geheim" not in Path(f"/proc/{pid}/environ").read_bytes()
            links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
            assert sum(link.startswith("socket:") for link in links) <= 1, links
    own = nurseries._own
    assert own is not None
    own.close()


@pytest.mark.fault("F08", how="SIGKILL of the process that asked")
def test_workers_end_with_the_process_that_asked(tmp_path: Path) -> None:
    slow(tmp_path / "slow.h5")
    script = textwrap.dedent(
        f"""
        import sys
        sys.path[:0] = [{str(CHECKOUT / "tests")!r}]
        from pathlib import Path
        from extraction import generic_task
        from orbitory.workers import Isolated
        with Isolated(Path({str(tmp_path)!r})) as isolated:
            for _ in isolated.map(generic_task(Path({str(tmp_path)!r}, "slow.h5"), n) for n in range(99)):
                pass
        """
    )
    asking = subprocess.Popen([sys.executable, "-c", script], env={"PYTHONPATH": str(CHECKOUT / "include")})
    started = time.monotonic()
    family: list[int] = []
    while len(family) < 2 and time.monotonic() - started < 60:
        time.sleep(0.1)
        family = descendants(asking.pid)
    asking.kill()
    asking.wait()
    assert len(family) == 2
    while (alive := [pid for pid in family if running(pid)]) and time.monotonic() - started < 90:
        time.sleep(0.1)
    assert alive == []


def descendants(pid: int) -> list[int]:
    found = []
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_a_process_that_cannot_be_confined_reads_nothing_and_blames_no_file(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5")
    with pytest.raises(ConfigurationError, match="cannot be confined"):
        extracted(path / "no folder", [generic_task(path)])


def test_a_parser_that_cannot_be_loaded_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "h5py.py"
    broken.write_text("raise ImportError('libhdf5.so: cannot open shared object file')")
    monkeypatch.setitem(nurseries._SETTINGS, "PYTHONPATH", f"{tmp_path}:{CHECKOUT / 'include'}")
    with closing(nurseries.Nursery()) as nursery, pytest.raises(ConfigurationError, match=r"libhdf5\.so"):
        nursery.worker(b"/", 1.0, 1 << 30, "jpss")


CONFINED = """
import os, socket, sys
from pathlib import Path
from orbitory.extract.sandbox import confine
import threading
confine([Path(sys.argv[1])], 256 << 20)
def attempt(name, act):
    try:
        print(name, "done", act() or "")
    except (OSError, MemoryError, RuntimeError) as error:
        print(name, type(error).__name__)
inside = os.path.join(sys.argv[1], "a")
attempt("read", lambda: len(open(inside, "rb").read()))
attempt("read_by_descriptor", lambda: len(open(f"/proc/self/fd/{os.open(inside, os.O_RDONLY)}", "rb").read()))
attempt("list", lambda: len(os.listdir(sys.argv[1])))
attempt("passwd", lambda: open("/etc/passwd").read())
attempt("list_root", lambda: os.listdir("/"))
attempt("write", lambda: open(os.path.join(sys.argv[1], "b"), "w").write("x"))
attempt("remove", lambda: os.remove(inside))
attempt("tcp", lambda: socket.socket(socket.AF_INET))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
attempt("unix", lambda: socket.socket(socket.AF_UNIX))
attempt("execute", lambda: os.execv(sys.executable, [sys.executable, "-c", "print(1)"]))
attempt("fork", lambda: os._exit(3) if os.fork() == 0 else None)
attempt("kill", lambda: os.kill(os.getppid(), 0))
attempt("memory", lambda: len(bytearray(1 << 30)))
attempt("thread", lambda: threading.Thread(target=int).start())
"""
ALLOWED = {"read": "3", "read_by_descriptor": "3", "list": "1", "thread": ""}
REFUSED = ("passwd", "list_root", "write", "remove", "tcp", "udp", "unix", "execute", "fork", "kill", "memory")


@needs_landlock
def test_a_confined_process_can_read_its_folder_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    run = subprocess.run(
        [sys.executable, "-c", CONFINED, str(tmp_path)],
        env={"PYTHONPATH": str(CHECKOUT / "include")},
        capture_output=True,
        text=True,
        check=False,
    )
    said = dict(line.split(" ", 1) for line in run.stdout.splitlines())
    for name, value in ALLOWED.items():
        assert said[name].strip() == f"done {value}".strip(), run.stderr
    for name in REFUSED:
        assert said[name] in ("PermissionError", "MemoryError"), name
    assert (tmp_path / "a").exists()


def test_tasks_run_ahead_but_are_few_at_a_time(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5")
    taken = []

    def tasks() -> Iterator[ExtractTask]:
        for number in range(10_000):
            taken.append(number)
            yield generic_task(path, number)

    with Isolated(tmp_path) as isolated:
        results = isolated.map(tasks())
        next(results)
        assert 1 < len(taken) < 100
        results.close()
