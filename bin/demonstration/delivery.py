"""The demonstration's delivery: made once, with its ground truth, and moved into the landing zone file by file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from private_stack.places import CHECKOUT

#: Source → files ordered from the simulator (faults add some).
FILES = {"idps": 60, "correlative": 40, "nga": 70, "maxar": 70, "upload": 30}
_SEED = 2026


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What one source sends."""

    source: str
    #: Where it is put together, on the landing zone's file system if that can be.
    folder: Path
    landing: Path

    @property
    def manifest(self) -> Path:
        """Ground truth of the simulator; there as soon as the delivery is complete."""
        return self.folder / "manifest.json"

    @property
    def handed_over(self) -> bool:
        """Whether every file was moved into the landing zone, now or in an earlier demonstration."""
        return (self.folder / "delivered").exists()

    def truth(self) -> list[dict[str, str]]:
        """Name, fate and reason of every file, as the simulator foretells them."""
        found: list[dict[str, str]] = json.loads(self.manifest.read_text())
        return found

    def foretold(self) -> Mapping[str, int]:
        """Files by fate."""
        return Counter(entry["fate"] for entry in self.truth())

    def make(self, environment: Mapping[str, str]) -> None:
        """Let ``orbitory simulate`` write it; what an interrupted attempt left is thrown away."""
        if self.manifest.exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        part = self.manifest.with_suffix(".part")
        words = ["simulate", "--source", self.source, "--files", str(FILES[self.source]), "--seed", str(_SEED)]
        out = ["--faults", "all", "--out", str(self.folder / "files"), "--manifest", str(part)]
        subprocess.run(
            [CHECKOUT / "bin" / "orbitory", *words, *out],
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
        )
        part.rename(self.manifest)

    def hand_over(self) -> None:
        """Move it into the landing zone. May be interrupted: what is still here is moved by the next call."""
        files = self.folder / "files"
        for file in sorted(files.rglob("*")):
            name = file.relative_to(files)
            if file.is_dir() and not file.is_symlink():
                (self.landing / name).mkdir(parents=True, exist_ok=True)
                continue
            self.landing.mkdir(parents=True, exist_ok=True)
            shutil.move(file, self.landing / name)
        (self.folder / "delivered").touch()

    def go_on_sending(self) -> None:
        """What is not complete yet keeps changing, as long as nobody has decided about it."""
        for entry in self.truth():
            if entry["fate"] == "waiting":
                with contextlib.suppress(FileNotFoundError):
                    os.utime(self.landing / entry["name"], follow_symlinks=False)
