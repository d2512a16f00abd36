"""A private PostgreSQL cluster with PostGIS: one unix socket, no port, as any user including root.

PostgreSQL refuses root. As root we first try a user namespace in which we look like another user (files stay ours,
nothing is changed outside); where that is forbidden, or the data would stand where only capabilities let us in, the
data moves to the one folder outside and, if need be, a real other user runs the server.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from private_stack.errors import StackError
from private_stack.places import Places
from private_stack.processes import detach

OWNER = "orbitory_owner"
DAILY = "orbitory"
ADMIN = "postgres"
#: Memory is small against any machine that holds an archive; durability is the default one, for nothing may be lost.
DURABLE: Mapping[str, str] = {
    "shared_buffers": "256MB",
    "max_connections": "120",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "log_line_prefix": "%m [%p] %a ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def binaries(version: str = "") -> Path | None:
    """Folder of the newest PostgreSQL server that has PostGIS, or of ``version`` (a cluster's data fits one only)."""
    on_path = shutil.which("postgres")
    candidates = [
        Path(os.environ.get("ORBITORY_PG_BIN", "") or "/nonexistent"),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_release, reverse=True),
        *sorted(Path("/usr").glob("pgsql-*/bin"), key=_release, reverse=True),
        *([Path(on_path).resolve().parent] if on_path else []),
    ]
    for folder in candidates:
        complete = (folder / "postgres").is_file() and (folder / "initdb").is_file() and _has_postgis(folder)
        if complete and version in ("", _major(folder)):
            return folder
    return None


def _release(folder: Path) -> int:
    digits = "".join(letter for letter in folder.parent.name if letter.isdigit())
    return int(digits or 0)


def _has_postgis(folder: Path) -> bool:
    shares = [
        Path("/usr/share/postgresql") / folder.parent.name,
        folder.parent / "share",
        folder.parent / "share/postgresql",
    ]
    return any((share / "extension" / "postgis.control").is_file() for share in shares)


def _major(folder: Path) -> str:
    words = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=False
    ).stdout.split()
    return words[2].partition(".")[0] if len(words) > 2 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How the server's commands are run, and where its data can stand."""

    data: Path
    prefix: Sequence[str]
    #: The other user that owns the data; None when it is ours.
    owner: str | None = None


class Cluster:
    """One private server below ``places.home``. Every method may be repeated."""

    def __init__(self, places: Places, settings: Mapping[str, str] = DURABLE) -> None:
        """``settings`` are given to the server at every start."""
        self._places = places
        self._settings = settings

    def uri(self, database: str = "orbitory", user: str = DAILY) -> str:
        """A libpq URI that PostgreSQL's tools, psycopg and Airflow's connections all understand."""
        return f"postgresql://{user}@{quote(str(self._places.sockets), safe='')}/{database}"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._places.logs / "postgresql.log"

    def data(self) -> Path:
        """Where the data stands; in ``home`` unless it had to be made outside."""
        outside = self._places.outside / "pg"
        inside = self._places.home / "pg"
        return outside if not (inside / "PG_VERSION").exists() and outside.exists() else inside

    def pid(self) -> int | None:
        """Process id of our server; None when it does not run, whatever a stale pid file says."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = (self.data() / "postmaster.pid").read_text().splitlines()
            words = Path(f"/proc/{lines[0]}/cmdline").read_bytes().split(b"\0")
            if os.fsencode(self.data()) in words and words[0].rpartition(b"/")[2] == b"postgres":
                return int(lines[0])
        return None

    def start(self) -> bool:
        """Make the cluster if it is not there and start it unless it runs; returns whether it was started now."""
        if self.pid() is not None:
            return False
        self._places.make()
        data = self.data()
        version = (data / "PG_VERSION").read_text().strip() if (data / "PG_VERSION").exists() else ""
        folder = binaries(version)
        if folder is None:
            wanted = f" {version}, which made {data}," if version else ""
            raise StackError(
                f"no PostgreSQL server{wanted} with PostGIS was found: run bin/environment, or set ORBITORY_PG_BIN"
            )
        way = self._way(folder)
        if not (way.data / "PG_VERSION").exists():
            self._initialise(folder, way)
        self._clear_stale_locks(way.data)
        self._launch(folder, way)
        return True

    def _clear_stale_locks(self, data: Path) -> None:
        """Remove lock files whose number is now a stranger's or a zombie's, for which the server would refuse to start.

        Never while a process of a killed server still works in the data folder: it would write beside the new one.
        """
        deadline = time.monotonic() + 30
        while survivors := _working_in(data):
            if time.monotonic() > deadline:
                raise StackError(f"processes {survivors} of a server that was killed still use {data}: end them first")
            time.sleep(0.1)
        for lock in (data / "postmaster.pid", self._places.sockets / ".s.PGSQL.5432.lock"):
            lock.unlink(missing_ok=True)

    def _initialise(self, folder: Path, way: _Way) -> None:
        shutil.rmtree(way.data, ignore_errors=True)
        part = way.data.with_name("pg.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        if way.owner:
            shutil.chown(part, way.owner)
        command: list[str | Path] = [
            folder / "initdb",
            "-D",
            part,
            "-A",
            "trust",
            "-U",
            ADMIN,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]
        self._checked([*way.prefix, *command, "--no-instructions"], "initdb")
        part.rename(way.data)

    def _launch(self, folder: Path, way: _Way) -> None:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._places.sockets),
            "unix_socket_permissions": "0700",
            **self._settings,
        }
        if way.owner:
            options["unix_socket_permissions"] = "0777"  # the folder keeps strangers out
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [
                    *way.prefix,
                    folder / "postgres",
                    "-D",
                    way.data,
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while not self._ready():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
                raise StackError(f"PostgreSQL did not start; the end of {self.log}:\n{tail}")
            time.sleep(0.05)
        detach(process)

    def _ready(self) -> bool:
        with contextlib.suppress(OSError, IndexError):
            return (self.data() / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        return False

    def stop(self) -> bool:
        """Fast shutdown: open transactions are rolled back, everything committed is on disk; waits for the process."""
        pid = self.pid()
        if pid is None:
            return False
        for number, patience in ((signal.SIGINT, 60), (signal.SIGQUIT, 10)):
            os.kill(pid, number)
            deadline = time.monotonic() + patience
            while self.pid() is not None and time.monotonic() < deadline:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                time.sleep(0.05)
            if self.pid() is None:
                return True
        raise StackError(f"PostgreSQL (process {pid}) does not stop; see {self.log}")

    def _way(self, folder: Path) -> _Way:
        """The least intrusive way that works here."""
        inside = self._places.home / "pg"
        if os.getuid() != 0:
            return _Way(data=inside, prefix=())
        user = _other_user()
        unshare = shutil.which("unshare")
        if unshare and user:
            namespace = (unshare, "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}", "--")
            if self._allowed(namespace, self._places.home) and not (self._places.outside / "pg").exists():
                return _Way(data=inside, prefix=namespace)
            if self._allowed(namespace, self._places.make_outside()):
                return _Way(data=self._places.outside / "pg", prefix=namespace)
        return self._as_other_user(user)

    @staticmethod
    def _allowed(prefix: Sequence[str], folder: Path) -> bool:
        """Whether a process started that way is not root and can write in ``folder``."""
        probe = [*prefix, "sh", "-c", 'test "$(id -u)" != 0 && test -w "$1" && test -x "$1"', "sh", str(folder)]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0

    def _as_other_user(self, user: pwd.struct_passwd | None) -> _Way:
        runuser = shutil.which("runuser")
        if user is None or runuser is None:
            raise StackError(
                "PostgreSQL does not run as root, and neither unshare nor runuser works here: use another user"
            )
        outside = self._places.make_outside()
        # That user must get through; only it and we may enter its data.
        outside.chmod(0o711)
        shutil.chown(outside / "sockets", user.pw_name)
        return _Way(data=outside / "pg", prefix=(runuser, "-u", user.pw_name, "--"), owner=user.pw_name)

    def sql(self, statement: str, database: str = "postgres", user: str = ADMIN) -> str:
        """Run one statement as the administrator and return what it prints, unaligned."""
        folder = binaries()
        command = [
            folder / "psql" if folder else "psql",
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            self.uri(database, user),
        ]
        return self._checked([*command, "-c", statement], "psql").strip()

    def databases(self) -> None:
        """Make roles and databases: the schema's owner and the daily role are two, so that rights are really used."""
        have = set(self.sql("SELECT rolname FROM pg_roles UNION SELECT 'db ' || datname FROM pg_database").splitlines())
        for role in (OWNER, DAILY, "airflow"):
            if role not in have:
                self.sql(f"CREATE ROLE {role} LOGIN")
        for database, owner in (("orbitory", OWNER), ("airflow", "airflow")):
            if f"db {database}" not in have:
                self.sql(f"CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8'")
        # PostGIS is not a trusted extension: an administrator installs it, here as on any other site.
        self.sql("CREATE EXTENSION IF NOT EXISTS postgis; CREATE EXTENSION IF NOT EXISTS btree_gist", "orbitory")

    @staticmethod
    def _checked(command: Sequence[str | Path], what: str) -> str:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "10"}
        done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"{what} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
        return done.stdout


def _working_in(folder: Path) -> list[int]:
    """Processes whose working folder is ``folder``, as every process of a PostgreSQL server's is."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
    return found


def _other_user() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None
