"""The stages, in order of importance; a module's docstring is what docs/performance.md says of its technique."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from benchmarks.stage import Stage

MODULES = (
    "chain",
    "extract",
    "verify",
    "detect",
    "store",
    "archive",
    "rasters",
    "search",
    "keeping",
    "export",
    "airflow",
    "growth",
)


def modules() -> Iterator[tuple[ModuleType, tuple[Stage, ...]]]:
    """Each module with its stages."""
    for name in MODULES:
        module = import_module(f"benchmarks.stages.{name}")
        yield module, module.STAGES
