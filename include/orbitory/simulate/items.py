"""What a delivery consists of: files, their checksum sidecars and manifests, each with the fate that ingest owes it."""

from __future__ import annotations

import hashlib
import os
import posixpath
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

#: Complete files look as if they had been written so long ago; well past any minimum age.
PAST_SECONDS = 86_400
#: Ways in which senders write a checksum.
STYLES = ("bare", "text", "binary", "tagged", "shouted")


class Form(Enum):
    """What stands under a name."""

    FILE = "file"
    LINK = "link"
    FIFO = "fifo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One name in the delivery. Its path is bytes, because not every name is text."""

    path: bytes
    #: Bytes of the file; of a link, where it points.
    content: bytes = b""
    form: Form = Form.FILE
    #: archived, duplicate, conflict, rejected or waiting.
    fate: str = "archived"
    #: Code of ``model.REASONS``, or why it waits; empty otherwise.
    reason: str = ""
    #: Modified only now, so that it must wait.
    young: bool = False
    #: Files of its unit (what comes beside a strip's image): written with it, sharing its fate.
    members: tuple[Item, ...] = ()

    @property
    def files(self) -> tuple[Item, ...]:
        """It and its members."""
        return (replace(self, members=()), *self.members)

    def meets(self, fate: str, reason: str = "") -> Item:
        """The same with another fate."""
        members = tuple(member.meets(fate, reason) for member in self.members)
        return replace(self, fate=fate, reason=reason, members=members)

    def with_members(self, members: Iterable[Item]) -> Item:
        """The same with these members, which get its fate."""
        return replace(self, members=tuple(member.meets(self.fate, self.reason) for member in members))

    def renamed(self, path: Callable[[bytes], bytes]) -> Item:
        """The same under other paths, and its members likewise."""
        return replace(self, path=path(self.path), members=tuple(each.renamed(path) for each in self.members))


def sidecar(item: Item, algorithm: str, style: str = "text", value: str = "") -> Item:
    """Checksum file beside ``item``, with its fate; ``value`` replaces the true checksum."""
    value = value or checksum(algorithm, item.content)
    name = posixpath.basename(item.path)
    match style:
        case "bare":
            text = value.encode() + b"\n"
        case "binary":
            text = value.encode() + b" *" + name + b"\n"
        case "tagged":
            text = algorithm.upper().encode() + b" (" + name + b") = " + value.encode() + b"\n"
        case "shouted":
            text = value.upper().encode() + b"  " + name + b"\r\n"
        case _:
            text = value.encode() + b"  " + name + b"\n"
    return Item(path=item.path + f".{algorithm}".encode(), content=text, fate=item.fate, reason=item.reason)


def manifest(path: str, items: Iterable[Item], absent: Sequence[str] = ()) -> Item:
    """Manifest of MD5 sums over ``items``, in its folder or below, and, with invented sums, over absent files."""
    files = [file for item in items for file in item.files]
    folder = posixpath.dirname(path.encode())
    lines = [checksum("md5", file.content).encode() + b"  " + posixpath.relpath(file.path, folder) for file in files]
    lines += [f"{checksum('md5', name.encode())}  {name}".encode() for name in absent]
    item = Item(path=path.encode(), content=b"\n".join([*lines, b""]))
    return item.meets("waiting", "set") if absent else item


def checksum(algorithm: str, content: bytes) -> str:
    """Lower-case hexadecimal digits."""
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()


class Writer:
    """Writes items below one folder and keeps the ground truth."""

    def __init__(self, out: Path) -> None:
        """``out`` exists and is empty."""
        self._out = out
        self._folders: set[Path] = set()
        self._past = time.time() - PAST_SECONDS
        self._young: list[Path] = []
        self._truth: list[dict[str, Any]] = []

    def write(self, item: Item) -> None:
        """Put it there with its members."""
        for file in item.files:
            self._write(file)

    def _write(self, item: Item) -> None:
        """A file is complete under its name before its modification time tells so."""
        path = self._out / os.fsdecode(item.path)
        if path.parent not in self._folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(path.parent)
        content = b""
        match item.form:
            case Form.FILE:
                content = item.content
                with path.open("xb") as file:
                    file.write(content)
            case Form.LINK:
                path.symlink_to(os.fsdecode(item.content))
            case Form.FIFO:
                os.mkfifo(path)
        if item.young:
            self._young.append(path)
        else:
            os.utime(path, (self._past, self._past), follow_symlinks=False)
        self._truth.append(
            {
                "name": os.fsdecode(item.path),
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "fate": item.fate,
                "reason": item.reason,
            }
        )

    def finish(self) -> list[dict[str, Any]]:
        """Mark the young ones as modified this moment; the ground truth in the order of paths."""
        for path in self._young:
            os.utime(path)
        return sorted(self._truth, key=lambda entry: os.fsencode(entry["name"]))
