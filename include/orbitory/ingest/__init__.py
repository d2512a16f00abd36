"""The five steps of ingest and the report.

Each takes a site and a batch, works on the rows still in the state before it, and may be repeated after any crash.
"""

from orbitory.ingest.archive import archive
from orbitory.ingest.detect import BatchRef, Detection, Selection, detect
from orbitory.ingest.extract import extract
from orbitory.ingest.report import RunReport, report
from orbitory.ingest.store import store
from orbitory.ingest.verify import verify

__all__ = [
    "BatchRef",
    "Detection",
    "RunReport",
    "Selection",
    "archive",
    "detect",
    "extract",
    "report",
    "store",
    "verify",
]
