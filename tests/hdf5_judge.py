"""What the HDF5 library says of a file, asked in a process that may die; and what the reader of bytes says of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from orbitory.errors import DataError
from orbitory.extract import HEAD_BYTES, OpenFile
from orbitory.extract.hdf5 import open_hdf5, read_everything
from orbitory.extract.hdf5_bytes import read_tree
from orbitory.extract.hdf5_layouts import Node
from orbitory.extract.hdf5_messages import Unsupported
from orbitory.extract.hdf5_objects import keep_attributes
from orbitory.extract.header import Header

#: Seconds after which the library's process is ended.
_PATIENCE = 20


def by_bytes(data: bytes) -> tuple[Node, bytes] | None:
    """The tree and the packed header; None where the reader leaves the file to the library."""
    try:
        root = read_tree(data, elements=True)
    except Unsupported:
        return None
    header = Header()
    keep_attributes(root, header)
    return root, header.packed()


def by_library(path: Path) -> bytes | None:
    """The packed header of a file that the library reads to its end, without a finding; None of any other.

    It is read in a child process, since the library may crash on what is damaged.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_PATIENCE)
        answer = b""
        try:
            answer = b"1" + _read(path)
        except DataError:
            answer = b"0"
        finally:
            with os.fdopen(sender, "wb") as stream:
                stream.write(answer)
            os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return answer[1:] if answer.startswith(b"1") else None


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    header = Header()
    source = OpenFile(descriptor=-1, size=len(data), head=data[:HEAD_BYTES], path=str(path))
    file = open_hdf5(source)
    if read_everything(file, len(data), header):
        raise DataError("structure", "it was read with findings")
    return header.packed()


def disagreements(files: Iterable[tuple[str, bytes]], folder: Path) -> tuple[int, list[str]]:
    """How many of the named files the reader of bytes takes, and those of which the library does not say the same."""
    taken, wrong = 0, []
    for name, data in files:
        found = by_bytes(data)
        if found is None:
            continue
        taken += 1
        path = folder / "judged"
        path.write_bytes(data)
        if by_library(path) != found[1]:
            wrong.append(name)
    return taken, wrong
