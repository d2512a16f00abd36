"""Five families of errors, by who must act.

A message says what is wrong, where, what was expected and found, and what to do next. Anything raised that is not one
of these is a bug: it fails without retry, with its traceback.
"""

from typing import Self


class OrbitoryError(Exception):
    """Base of the five families."""

    #: What is wrong with the place that is in the way of all files alike, in one word (``unmounted``, ``full``);
    #: empty: nothing is.
    outage: str = ""

    def of_outage(self, cause: str) -> Self:
        """The same error, which tells of an outage."""
        self.outage = cause
        return self


class DataError(OrbitoryError):
    """The file is wrong: quarantine it under a stable reason code and go on with the others.

    Never raise it for what the machine did (a full disk, a lost database): that is ``Transient``.
    """

    def __init__(self, code: str, detail: str) -> None:
        """``code`` is one of ``model.REASONS``; ``detail`` is for a person and may quote foreign text."""
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Transient(OrbitoryError):
    """The world is in the way (database away, disk full, lock lost): try again later; nothing was lost."""


class NotReady(OrbitoryError):
    """Not yet: what is needed has not arrived. Skip; a later run will find it."""


class ConfigurationError(OrbitoryError):
    """A person must change a setting, a catalogue file or an argument; retrying cannot help."""


class IntegrityError(OrbitoryError):
    """Storage and inventory disagree. Stop, alert, touch nothing."""
