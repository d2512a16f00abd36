"""Imports all of Orbitory, so that processes that are forked afterwards need not."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil

import orbitory

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # a fork takes no thread along
for module in pkgutil.walk_packages(orbitory.__path__, "orbitory."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
gc.collect()
gc.freeze()
