"""Where everything of one private stack stands."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from private_stack.errors import StackError

CHECKOUT = Path(__file__).resolve().parents[2]
_MARK = "made-by-orbitory-stack"
#: Linux allows 107 bytes for the path of a unix socket; PostgreSQL adds "/.s.PGSQL.5432.lock" to the folder's.
_SOCKET_FOLDER_BYTES = 107 - len("/.s.PGSQL.5432.lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders of one stack. Nothing is made before ``make`` is called."""

    #: Holds everything, readable by its owner alone.
    home: Path
    #: The code and the catalogue this stack runs.
    checkout: Path = CHECKOUT

    @classmethod
    def of_environment(cls) -> Places:
        """``ORBITORY_HOME``, or ``.orbitory`` in the checkout."""
        return cls(home=Path(os.environ.get("ORBITORY_HOME", "") or CHECKOUT / ".orbitory").absolute())

    @property
    def logs(self) -> Path:
        """One log a component."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """Pid files."""
        return self.home / "run"

    @property
    def airflow(self) -> Path:
        """Airflow's own home."""
        return self.home / "airflow"

    @property
    def mail(self) -> Path:
        """Maildir of every message the stack sent."""
        return self.home / "mail"

    @property
    def site(self) -> Path:
        """Holds landing, storage, quarantine, … unless ORBITORY_ROOT says otherwise."""
        return self.home / "site"

    @property
    def outside(self) -> Path:
        """The one folder that may be needed outside ``home``: for a short socket path or a readable data folder."""
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path("/tmp") / f"orbitory-{os.getuid()}-{digest}"

    @property
    def sockets(self) -> Path:
        """Folder of PostgreSQL's socket: in ``home`` unless that path is too long or the server cannot get there."""
        inside, outside = self.home / "sockets", self.outside / "sockets"
        return outside if len(os.fsencode(inside)) > _SOCKET_FOLDER_BYTES or outside.exists() else inside

    def make(self) -> None:
        """Make the folders, private to us."""
        existed = self.home.exists()
        for folder in (self.home, self.logs, self.run, self.airflow, self.site):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not existed:
            (self.home / _MARK).touch()
        if not self.sockets.is_relative_to(self.home):
            self.make_outside()
        self.sockets.mkdir(mode=0o700, exist_ok=True)

    def make_outside(self) -> Path:
        """Make the folder outside ``home``, with sockets in it; refuses one that somebody else could have prepared."""
        with contextlib.suppress(FileExistsError):
            self.outside.mkdir(mode=0o700)
        found = self.outside.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise StackError(f"{self.outside} is not a folder that only we can write: remove it and try again")
        (self.outside / "sockets").mkdir(mode=0o700, exist_ok=True)
        return self.outside

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One command at a time starts or stops things; a second one waits."""
        self.make()
        with (self.home / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def secret(self, name: str, make: str = "") -> str:
        """A secret of this stack, made once and kept readable by its owner alone."""
        file = self.home / "secrets" / name
        try:
            return file.read_text().strip()
        except FileNotFoundError:
            value = make or secrets.token_urlsafe(32)
            write_private(file, value + "\n")
            return value

    def remove(self) -> None:
        """Delete everything, archive included. Refuses a folder that this program did not make."""
        if self.home.exists():
            if not (self.home / _MARK).exists():
                raise StackError(f"{self.home} was not made by bin/stack: remove it by hand if you mean to")
            shutil.rmtree(self.home)
        if self.outside.exists() and self.outside.lstat().st_uid == os.getuid():
            shutil.rmtree(self.outside)


def write_private(file: Path, text: str) -> None:
    """Write ``file`` at once and readable by its owner alone."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
    part.rename(file)
