"""Small projects of their own, for tests of the tables of requirements and faults."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(project: Path, *words: str) -> tuple[int, str]:
    """Exit status and output of pytest there."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHON"))}
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def edit(project: Path, old: str, new: str) -> None:
    """Change its one file of tests."""
    file = project / "tests" / "test_it.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
