"""What the command line answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """Exit status and what was printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed, as ``--json`` promises it."""
        return json.loads(self.out)


#: Runs a verb.
Orbitory = Callable[..., Answer]
