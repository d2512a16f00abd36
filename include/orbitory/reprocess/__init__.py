"""Reprocessing of what is archived: files are read again, and what the inventory says of them is renewed.

A request selects granules by product, sensor, name and start of sensing, and is cut into slices of that time. Nothing
that identifies is ever touched: key, version, creation time, state, path and digest stay. Rows are written only where
their values differ, page by page, so a repeated, cancelled or overlapping request ends in the same state.
"""

from orbitory.reprocess.request import (
    BatchRef,
    Mode,
    Outcome,
    Plan,
    Reason,
    Selection,
    begin,
    finish,
    plan,
    reprocess,
    work,
)

__all__ = ["BatchRef", "Mode", "Outcome", "Plan", "Reason", "Selection", "begin", "finish", "plan", "reprocess", "work"]
