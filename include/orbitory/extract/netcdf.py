"""Classic netCDF. Its layout is checked before (``structure``): the C library silently pads what is cut off."""

from __future__ import annotations

import math
from typing import Any

import netCDF4

from orbitory.extract import OpenFile, warning
from orbitory.extract.faults import FAULTS, fault
from orbitory.extract.header import Header, text
from orbitory.model import Finding

_SLAB_VALUES = 2 << 20
_BUDGET_BYTES = 16 << 30  # nothing is compressed: what can be read is the file itself


def netcdf_findings(source: OpenFile, header: Header) -> list[Finding]:
    """Read every attribute (into ``header``) and every variable. Raises DataError("structure") for damage."""
    findings: list[Finding] = []
    try:
        with netCDF4.Dataset(source.path, "r") as dataset:
            dataset.set_auto_maskandscale(False)
            dataset.set_auto_chartostring(False)
            header.add("/", {name: dataset.getncattr(name) for name in dataset.ncattrs()})
            left = _BUDGET_BYTES
            for name, variable in dataset.variables.items():
                header.add(name, {each: variable.getncattr(each) for each in variable.ncattrs()})
                left -= math.prod(variable.shape) * variable.dtype.itemsize
                if left < 0:
                    findings.append(
                        warning("not_fully_read", f"more than {_BUDGET_BYTES} bytes: not read from {text(name)}")
                    )
                    break
                _read(variable)
    except FAULTS as error:
        raise fault("the netCDF file", error) from error
    return findings


def _read(variable: Any) -> None:
    if not variable.shape or math.prod(variable.shape) <= _SLAB_VALUES:
        variable[...]
        return
    step = max(1, _SLAB_VALUES // math.prod(variable.shape[1:]))
    for start in range(0, variable.shape[0], step):
        variable[start : start + step]
