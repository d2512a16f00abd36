"""Real public files that nobody here wrote, beside the checkout; without them their tests are skipped, counted."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "data"

needs_corpus = pytest.mark.skipif(not (CORPUS / "MANIFEST.tsv").is_file(), reason="corpus of real files is absent")


def manifest() -> list[dict[str, str]]:
    """Rows of MANIFEST.tsv: path, size, sha256, kind, verdict, …; empty where the corpus is absent."""
    if not (CORPUS / "MANIFEST.tsv").is_file():
        return []
    with (CORPUS / "MANIFEST.tsv").open(newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))
