"""Guarded removal: what is to go is shown first, goes as exactly that set into the trash, and can be brought back.

1. ``plan`` finds the set, names it by its hash and changes nothing else (a dry run).
2. ``apply`` takes the hash: the set is found anew and must be the same; a large one needs approval. Batch by batch,
   files are marked, renamed into ``trash/removal/``, and their rows become tombstones. The same call goes on after a
   crash.
3. ``undo`` takes the hash, too, and brings back files and rows.
"""

from orbitory.removal.apply import apply, finish_expired
from orbitory.removal.guard import LIMITS, Limits, blocked_by
from orbitory.removal.outcome import Outcome
from orbitory.removal.plan import Plan, plan
from orbitory.removal.selection import Selection, names_of
from orbitory.removal.sweep import Sweep
from orbitory.removal.undo import undo

__all__ = [
    "LIMITS",
    "Limits",
    "Outcome",
    "Plan",
    "Selection",
    "Sweep",
    "apply",
    "blocked_by",
    "finish_expired",
    "names_of",
    "plan",
    "undo",
]
