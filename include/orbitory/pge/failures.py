"""Why a PGE instance failed: stable codes, each with what a person should know."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: Code → meaning. Those of the planner (expired, …) are its own.
FAILURES: Mapping[str, str] = MappingProxyType(
    {
        "definition": "the catalogue has no such PGE any more, or it is broken",
        "executable_absent": "its program, or what must interpret it, does not exist",
        "not_executable": "its program is a file that cannot be executed",
        "exit": "it ended with an exit status other than 0",
        "killed": "a signal ended it that was not ours",
        "timeout": "it took longer than its definition allows",
        "memory": "it used more memory than its definition allows",
        "disk": "it wrote more than its definition allows",
        "outside": "it failed where it was refused a write outside its folders, or the network",
        "no_output": "it ended well but made nothing",
        "partial_output": "it ended well but made less than its definition promises",
        "wrong_output": "it made too many files, an empty one, or one of another product",
        "foreign_output": "it left something that its definition does not know",
        "input_missing": "an input is no longer in the archive, or a file outside it is gone",
        "input_damaged": "the bytes of an input are not those that the inventory knows",
        "input_changed": "an input was changed while it ran",
        "lost": "its worker was lost twice",
        "output_rejected": "the ingest rejected what it made",
        "output_lost": "what it delivered was taken from the landing zone before the ingest saw it",
        "bug": "Orbitory itself failed while it ran; the log of the run has a traceback",
        "ended": "it was ended from outside while it ran",
        "cancelled": "a person did not want it any more",
    }
)

#: Trying again without a person's doing cannot help.
FINAL = frozenset({"bug", "definition", "executable_absent", "not_executable", "input_missing", "input_damaged"})


def kept(text: str) -> str:
    r"""The text as a database, a mail and a terminal can show it.

    >>> kept("a\tb\n\x00\u202e")
    'a\tb\n\\x00\\u202e'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)[:20_000]


class RunFailed(Exception):
    """A try failed for a reason that the instance will state."""

    def __init__(self, code: str, detail: str) -> None:
        """``code`` is one of FAILURES; ``detail`` is for a person and may quote what the PGE said."""
        assert code in FAILURES, code
        super().__init__(f"{code}: {kept(detail)}")
        self.code = code
        self.detail = kept(detail)
