"""Programs under limits: how they end, what they may touch, and that nothing of them stays; in every confinement."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orbitory.errors import Transient
from orbitory.extract import seccomp
from orbitory.extract.sandbox import landlock_abi
from orbitory.pge.confinement import bubblewrap, visible
from orbitory.pge.executor import Ending, Job, Limits, LocalExecutor, Run
from orbitory.pge.usage import FILE_BYTES

CONFINEMENTS = [
    pytest.param(
        "landlock", marks=pytest.mark.skipif(not (landlock_abi() and seccomp.available()), reason="no Landlock here")
    ),
    pytest.param("bubblewrap", marks=pytest.mark.skipif(not bubblewrap(), reason="bubblewrap does not work here")),
    "none",
]


@pytest.fixture(params=CONFINEMENTS)
def executor(request: pytest.FixtureRequest) -> LocalExecutor:
    return LocalExecutor(confinement=request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("in", "out", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "x").write_text("hello")
    return tmp_path


def python(folder: Path, program: str, **limits: float) -> Job:
    chosen = {"wall_seconds": 20.0, "cpus": 1, "memory_bytes": 200 << 20, "disk_bytes": 20 << 20, **limits}
    return Job(
        command=(sys.executable, "-c", f"import os, pathlib, signal, socket, sys, time\n{program}"),
        environment={},
        folder=folder / "tmp",
        writable=(folder / "out", folder / "tmp"),
        log=folder / "log",
        limits=Limits(**chosen),  # type: ignore[arg-type]
    )


def go(executor: LocalExecutor, job: Job) -> Run:
    return executor.run(job, lambda: True)


def test_a_program_reads_its_inputs_writes_its_outputs_and_is_accounted_for(
    executor: LocalExecutor, folder: Path
) -> None:
    program = "x = bytearray(60 << 20); pathlib.Path('../out/y').write_text(open('../in/x').read()); print('done')\n"
    done = go(executor, python(folder, program + "t = time.process_time()\nwhile time.process_time() < t + .3: pass"))
    assert (done.ending, done.exit_status, done.signal) == (Ending.EXITED, 0, None)
    assert (folder / "out" / "y").read_text() == "hello" and done.log_tail == "done\n"
    assert 60 << 20 < done.peak_bytes < 150 << 20
    assert 0.3 <= done.cpu_seconds <= done.wall_seconds + 1 and done.disk_bytes >= 4096


@pytest.mark.parametrize(
    ("program", "limits", "ending"),
    [
        ("sys.exit(3)", {}, Ending.EXITED),
        ("os.kill(os.getpid(), signal.SIGSEGV)", {}, Ending.KILLED),
        ("time.sleep(60)", {"wall_seconds": 0.5}, Ending.TIMEOUT),
        ("while True: print('y' * 65536)", {"wall_seconds": 0.5}, Ending.TIMEOUT),
        ("children = [os.fork() for _ in range(2)]\nx = bytearray(90 << 20)\ntime.sleep(60)", {}, Ending.MEMORY),
        ("open('../out/z', 'wb').write(bytes(30 << 20))", {}, Ending.DISK),
        ("for i in range(6000): open(f'../out/{i}', 'w')\ntime.sleep(60)", {}, Ending.DISK),
        ("for i in range(40): os.mkdir('d' * 200); os.chdir('d' * 200)\ntime.sleep(60)", {}, Ending.DISK),
    ],
)
def test_how_a_program_ended_is_told_apart(
    executor: LocalExecutor, folder: Path, program: str, limits: dict[str, float], ending: Ending
) -> None:
    done = go(executor, python(folder, program, **limits))
    assert done.ending is ending, done
    assert (done.exit_status == 3) is (ending is Ending.EXITED)


def test_what_a_program_leaves_running_ends_with_it(executor: LocalExecutor, folder: Path) -> None:
    program = (
        "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  "
        "while True:\n   open('../out/beat', 'a').write('x'); time.sleep(.02)\ntime.sleep(.3)"
    )
    assert go(executor, python(folder, program)).ending is Ending.EXITED
    size = (folder / "out" / "beat").stat().st_size
    assert size
    time.sleep(0.3)
    assert (folder / "out" / "beat").stat().st_size == size


def test_many_empty_files_cost_room_and_little_watching() -> None:
    files = 60_000
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        for name in ("out", "tmp"):
            Path(made, name).mkdir()
        for number in range(files):
            Path(made, "out", str(number)).touch()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = go(LocalExecutor(confinement="none"), python(Path(made), "time.sleep(6)", disk_bytes=1 << 30))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.ending is Ending.EXITED and done.disk_bytes == files * FILE_BYTES
    watching = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - done.cpu_seconds
    assert watching < 3, "starting the interpreter and looking when all is over included"


@pytest.mark.parametrize("killed", ["the one that watches", "the one that waits for it"])
def test_a_warden_that_is_killed_leaves_nothing_running(executor: LocalExecutor, folder: Path, killed: str) -> None:
    program = (
        "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  while True:\n"
        "   open('../out/beat', 'a').write('x'); time.sleep(.02)\n os._exit(0)\ntime.sleep(60)"
    )
    beat, ours = folder / "out" / "beat", set(children(os.getpid()))

    def shoot() -> None:
        until = time.monotonic() + 15
        while not beat.exists() and time.monotonic() < until:
            time.sleep(0.05)
        guards = [pid for pid in children(os.getpid()) if pid not in ours]
        assert len(guards) == 1
        os.kill(guards[0] if killed == "the one that waits for it" else children(guards[0])[0], signal.SIGKILL)

    shooter = threading.Thread(target=shoot)
    shooter.start()
    with pytest.raises(Transient, match="ended early"):
        go(executor, python(folder, program))
    shooter.join()
    size = beat.stat().st_size
    assert size
    time.sleep(0.3)
    assert beat.stat().st_size == size


def children(pid: int) -> list[int]:
    return [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]


def test_what_is_not_wanted_any_more_is_ended(executor: LocalExecutor, folder: Path) -> None:
    began = time.monotonic()
    done = executor.run(python(folder, "time.sleep(60)"), lambda: time.monotonic() < began + 0.2)
    assert done.ending is Ending.CANCELLED and time.monotonic() - began < 10


@pytest.mark.fault("F53", how="a PGE writes elsewhere")
@pytest.mark.parametrize(
    "program",
    [
        "open('{outside}', 'w')",
        "open('../in/x', 'a').write('z')",
        "os.unlink('../in/x')",
        "os.truncate('../in/x', 0)",
        "os.rename('../in/x', '../out/x')",
        "os.link('../in/x', '../out/x')",
        "os.mkdir('{outside}')",
        "os.symlink('/etc', '../in/l')",
        "socket.create_connection(('127.0.0.1', {port}))",
        "os.kill({us}, 0)",
        "open('/proc/{us}/environ').read()",
        "open('{secret}').read()",
        "os.listdir('{away}')",
        "open('/etc/shadow').read()",
        "open('/tmp/evil', 'w')",
        "open('/dev/evil', 'w')",
        "socket.socket(socket.AF_UNIX).connect('{away}/s')",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', '{away}/s')",
        "socket.socket(socket.AF_UNIX).connect('\\0orbitory-{us}')",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'x', ('2001:db8::1', 9))",
    ],
)
@pytest.mark.parametrize("confinement", CONFINEMENTS[:2])
def test_nothing_outside_its_folders_can_be_touched(confinement: str, folder: Path, away: Path, program: str) -> None:
    servers = socket.create_server(("127.0.0.1", 0)), *(socket.socket(socket.AF_UNIX) for _ in range(2))
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.enter_context(server)
        servers[1].bind(f"{away}/s")
        servers[2].bind(f"\0orbitory-{os.getpid()}")
        for server in servers:
            server.listen()
        values = {"outside": folder / "evil", "port": servers[0].getsockname()[1], "us": os.getpid()}
        values |= {"away": away, "secret": away / "secret"}
        done = go(LocalExecutor(confinement=confinement), python(folder, program.format(**values)))
    assert done.exit_status == 1, done
    assert (folder / "in" / "x").read_text() == "hello" and not (folder / "evil").exists()


@pytest.fixture
def away() -> Iterator[Path]:
    """A folder that no program has business in, with a short path as sockets want it."""
    with tempfile.TemporaryDirectory(prefix="orbitory-") as made:
        (Path(made) / "secret").write_text("a password")
        yield Path(made)


CHANGES = """
import ctypes, fcntl
def change(file, folder):
    yield lambda: os.chmod(file, 0o600)
    yield lambda: os.fchmod(os.open(file, os.O_RDONLY), 0o600)
    yield lambda: ctypes.CDLL(None).syscall(452, -100, file.encode(), 0o600, 0)
    yield lambda: os.utime(file, (1, 1))
    yield lambda: os.utime(os.open(file, os.O_RDONLY), (1, 1))
    yield lambda: os.chown(file, 12345, 12345)
    yield lambda: os.lchown(file, 12345, 12345)
    yield lambda: os.fchown(os.open(file, os.O_RDONLY), 12345, 12345)
    yield lambda: os.setxattr(file, "user.x", b"1")
    yield lambda: os.truncate(file, 0)
    yield lambda: fcntl.ioctl(os.open(file, os.O_RDONLY), 0x40086602, b"\\x40" + bytes(7))
    yield lambda: os.chmod(folder, 0)
for file, folder in PLACES:
    for number, act in enumerate(change(file, folder)):
        try:
            act()
        except OSError as error:
            print(number, error)
print("all tried")
"""


@pytest.mark.parametrize("confinement", CONFINEMENTS[:2])
def test_not_even_mode_owner_and_times_of_a_file_outside_can_be_changed(
    confinement: str, folder: Path, away: Path
) -> None:
    """The input is another name of a file away, as it is of one in the archive."""
    stored, linked = away / "stored", folder / "in" / "linked"
    stored.write_text("archived")
    linked.hardlink_to(stored)

    def state() -> object:
        return [(each.stat(), os.listxattr(each), flags(each)) for each in (stored, away, linked.parent)]

    before = state()
    places = f"PLACES = {[(str(linked), str(linked.parent)), (str(stored), str(away))]!r}"
    done = go(LocalExecutor(confinement=confinement), python(folder, places + CHANGES))
    assert done.log_tail.endswith("all tried\n"), done
    assert state() == before and stored.read_text() == "archived"


def flags(file: Path) -> int:
    """As ``lsattr`` shows them."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, 0x80086601, bytes(8))[:4], sys.byteorder)
    finally:
        os.close(descriptor)


def test_copying_programs_that_set_modes_and_times_in_passing_do_not_fail(
    executor: LocalExecutor, folder: Path
) -> None:
    program = "import shutil; shutil.copy2('../in/x', '../out/y'); shutil.copytree('../in', '../out/all')\n"
    program += "a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'"
    done = go(executor, python(folder, program))
    assert done.exit_status == 0, done
    assert (folder / "out" / "y").read_text() == (folder / "out" / "all" / "x").read_text() == "hello"


def test_the_libraries_that_products_are_made_with_work(executor: LocalExecutor, folder: Path) -> None:
    program = """
import h5py, numpy, rasterio, shapely
from rasterio.transform import from_origin
from rasterio.warp import transform
told = {"driver": "GTiff", "crs": "EPSG:32633", "transform": from_origin(0, 10, 1, 1), "dtype": "uint8", "count": 1}
with rasterio.open("../out/a.tif", "w", width=8, height=8, **told) as image:
    image.write(numpy.ones((1, 8, 8), "uint8"))
assert round(transform("EPSG:32633", "EPSG:4326", [500000], [5000000])[0][0]) == 15
h5py.File("../out/a.h5", "w")["x"] = numpy.arange(3)
"""
    done = go(executor, python(folder, program, memory_bytes=1 << 30, wall_seconds=120))
    assert (done.ending, done.log_tail) == (Ending.EXITED, ""), done
    assert {each.name for each in (folder / "out").iterdir()} == {"a.tif", "a.h5"}


def test_a_program_sees_its_own_folder_its_interpreter_and_what_its_environment_names(
    executor: LocalExecutor, folder: Path, away: Path
) -> None:
    (away / "pges").mkdir()
    tool = away / "pges" / "tool"
    tool.write_text(f"#!{sys.executable}\nimport os, beside\nprint(beside.WORD, open(os.environ['TABLE']).read())\n")
    (away / "pges" / "beside.py").write_text("WORD = 'found'\n")
    tool.chmod(0o755)
    job = replace(python(folder, ""), command=(str(tool),), environment={"TABLE": str(away / "secret")})
    done = go(executor, job)
    assert (done.ending, done.log_tail) == (Ending.EXITED, "found a password\n")


def test_no_program_is_shown_all_that_the_archive_stands_in(away: Path) -> None:
    """A program beside the archive's folders is seen, and nothing beside it."""
    work, program = away / "site" / "work" / "pge" / "7", away / "program"
    work.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    (away / "alias").symlink_to(away / "site")
    seen = visible(work, [str(program), str(away)], {"DATA": f"{away / 'site'}:{away / 'alias'}:/"})
    assert {each for each in seen if each.is_relative_to(away)} == {work, program} and Path("/") not in seen


def test_a_program_that_cannot_be_started_is_told_apart(executor: LocalExecutor, folder: Path) -> None:
    def ending(name: str) -> Ending:
        job = python(folder, "")
        return go(executor, Job(**{each: getattr(job, each) for each in job.__slots__} | {"command": (name,)})).ending

    plain, orphan, binary, text = (folder / name for name in ("plain", "orphan", "binary", "text"))
    plain.write_text("#!/bin/sh\n")
    orphan.write_text("#!/no/such/interpreter\n")
    binary.write_bytes(b"\x7fELF nonsense")
    text.write_text("exit 3\n")
    for file in (orphan, binary, text):
        file.chmod(0o755)
    assert ending(str(folder / "absent")) is Ending.ABSENT
    assert ending("no-such-program") is Ending.ABSENT
    assert ending(str(plain)) is Ending.NOT_EXECUTABLE
    assert ending(str(orphan)) is Ending.ABSENT
    assert ending(str(text)) is Ending.NOT_EXECUTABLE, "no shell guesses what it is"
    if executor.confinement != "bubblewrap":  # which hands such a file to a shell
        assert ending(str(binary)) is Ending.NOT_EXECUTABLE


def test_inputs_are_linked_only_where_they_are_protected() -> None:
    assert [LocalExecutor(confinement=each).protects_inputs for each in ("landlock", "none")] == [True, False]
    assert LocalExecutor().confinement == ("bubblewrap" if shutil.which("bwrap") and bubblewrap() else "landlock")
