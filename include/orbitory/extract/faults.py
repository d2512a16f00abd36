"""What a C library raises, in our families."""

from __future__ import annotations

from orbitory.errors import DataError, Transient
from orbitory.extract.header import text

#: What h5py, netCDF4 and rasterio raise for a damaged file (seen in real ones).
FAULTS = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    AttributeError,
    MemoryError,
)
_MACHINE = ("Input/output error", "Stale file handle", "Too many open files")
_MEMORY = ("memory allocation failed", "Out of memory", "cannot allocate", "Cannot allocate")


class Unreadable(Exception):
    """Valid, but out of the library's reach: the message says why."""


def fault(what: str, error: BaseException) -> DataError | Transient:
    """Our error for what a library raised while reading ``what``: the file's fault, unless the machine failed."""
    message = text(str(error))
    if any(words in message for words in _MACHINE):
        return Transient(f"cannot read {what}: {message}; nothing was lost, it is tried again")
    if isinstance(error, MemoryError) or any(words in message for words in _MEMORY):
        return DataError("policy", f"{what} needs more memory than one file may use: {message}")
    return DataError("structure", f"{what} cannot be read: {message}")
