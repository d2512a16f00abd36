"""How tests ask for an extraction, and what real files are owed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import h5py

from orbitory.extract import ExtractTask
from orbitory.model import Identity
from orbitory.workers import ExtractResult, Isolated

CORRELATIVE = Identity(form="any", product_type="correlative", products=(), sensor="correlative")


def generic_task(path: Path, number: int = 0, name: str = "") -> ExtractTask:
    """What the ``correlative`` source would ask for."""
    return ExtractTask(
        id=number,
        path=os.fsencode(path.absolute()),
        extractor="generic",
        source="correlative",
        name=name or path.name,
        identity=CORRELATIVE,
    )


def extracted(folder: Path, tasks: Iterable[ExtractTask], **how: float) -> list[ExtractResult]:
    """All results, in order."""
    with Isolated(folder, **how) as isolated:
        return list(isolated.map(tasks))


def fate(result: ExtractResult) -> str:
    """``archived``, or the code of the refusal."""
    return "archived" if result.extraction else getattr(result.error, "code", "not_ready")


def codes(result: ExtractResult) -> set[str]:
    """Codes of the findings."""
    return {finding.code for finding in result.extraction.findings} if result.extraction else set()


def hdf5(path: Path, values: object = 1) -> Path:
    with h5py.File(path, "w") as file:
        file["x"] = values
    return path


def sole(path: Path, **how: float) -> str:
    (result,) = extracted(path.parent, [generic_task(path)], **how)
    return fate(result)


def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "secret").write_bytes(b"TOP SECRET DATA!" * 4)
    hdf5(folder / "other.h5", 42)
    return folder
