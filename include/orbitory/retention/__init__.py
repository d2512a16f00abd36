"""Retention: what expires, what keeps it, and the incinerator that takes it away.

A granule expires by its product type, by its sender's word or by a person's; only the database's clock counts. It
leaves through ``orbitory.removal``: marked, renamed into the trash, then a tombstone; holds are seen under the lock of
its row. Links, work folders, quarantine and trash have rules of their own.
"""

from orbitory.retention.granules import calendar
from orbitory.retention.holds import hold, holds, let_go, place, release
from orbitory.retention.keeping import Withdrawal, retain, undo_withdrawal, withdraw
from orbitory.retention.restoring import restore
from orbitory.retention.run import RULES, Run, begin, clean, expire, finish, history, watch

__all__ = [
    "RULES",
    "Run",
    "Withdrawal",
    "begin",
    "calendar",
    "clean",
    "expire",
    "finish",
    "history",
    "hold",
    "holds",
    "let_go",
    "place",
    "release",
    "restore",
    "retain",
    "undo_withdrawal",
    "watch",
    "withdraw",
]
