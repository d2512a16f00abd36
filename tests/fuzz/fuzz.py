"""Coverage-guided fuzzing: ``python tests/fuzz/fuzz.py TARGET [options of libFuzzer] [corpus folders]``.

Ends with an error at the first input that makes a parser raise what it must not, and keeps it as ``crash-…``; put it,
made small (``-minimize_crash=1``), into ``tests/fuzz/seeds/TARGET``, where the tests read it ever after.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[0:1] = [str(CHECKOUT / "include"), str(CHECKOUT / "tests")]

with atheris.instrument_imports(include=["orbitory"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Fuzz one of the targets."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: fuzz.py {{{','.join(TARGETS)}}} [options of libFuzzer] [corpus folders]")
    target = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
