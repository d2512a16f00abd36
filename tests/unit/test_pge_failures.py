"""Every reason for which a PGE instance fails is a stable code that documents explain and a test provokes."""

from __future__ import annotations

import re
from pathlib import Path

from orbitory.pge.failures import FAILURES, FINAL, kept

ROOT = Path(__file__).resolve().parents[2]


def test_every_code_is_explained_where_people_look() -> None:
    section = (ROOT / "docs/findings.md").read_text().partition("## Failures")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", section, re.M)) == set(FAILURES)


def test_every_code_is_provoked_by_a_test() -> None:
    tests = "".join(file.read_text() for file in (ROOT / "tests" / "integration").glob("test_pge_*.py"))
    assert [code for code in FAILURES if f'"{code}"' not in tests and f"'{code}'" not in tests] == []


def test_what_cannot_be_mended_by_another_try_is_a_known_code() -> None:
    assert set(FAILURES) >= FINAL


def test_foreign_words_are_kept_harmless() -> None:
    assert kept("a\x1b[31m\x00\u202e\ud800\nb") == "a\\x1b[31m\\x00\\u202e\\ud800\nb"
