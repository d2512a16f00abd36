"""On what was measured: machine and versions, for ``details.json``."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.site import PEERS, Bench, tool
from benchmarks.stage import NotInstalled
from orbitory import __version__

_PACKAGES = ("psycopg", "blake3", "h5py", "rasterio", "shapely", "lxml", "numpy", "apache-airflow")
_PEER_PACKAGES = ("pypgstac", "matplotlib")
_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "sha256sum": ("--version",),
    "openssl": ("version",),
    "b3sum": ("--version",),
    "h5dump": ("--version",),
    "gdalinfo": ("--version",),
    "find": ("--version",),
}


def machine(bench: Bench) -> dict[str, Any]:
    """Processor, memory, kernel, file system, and how busy the machine is at this moment."""
    processor = Path("/proc/cpuinfo").read_text()
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    return {
        "processor": _found(r"model name\s*: (.*)", processor),
        "cores": os.cpu_count(),
        "sha_instructions": "sha_ni" in processor,
        "avx512": "avx512f" in processor,
        "memory": memory,
        "kernel": platform.release(),
        "file_system": _file_system(bench.home),
        "load": [round(each, 2) for each in os.getloadavg()],
    }


def versions(bench: Bench) -> dict[str, str]:
    """Of what was measured, and of what it was measured with."""
    found = {"orbitory": __version__, "python": platform.python_version()}
    found |= {name: _installed(name) for name in _PACKAGES}
    found["postgresql"] = bench.cluster.sql("SHOW server_version")
    found["postgis"] = bench.cluster.sql("SELECT postgis_lib_version()", "orbitory")
    for name in _PEER_PACKAGES:
        told = f"from importlib.metadata import version; print(version('{name}'))"
        found[name] = _output([str(PEERS / "python"), "-c", told])
    for name, words in _PROGRAMS.items():
        try:
            found[name] = _output([tool(name), *words])
        except NotInstalled:
            found[name] = "not installed"
    return found


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _output(line: list[str]) -> str:
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    return (done.stdout or "not installed").splitlines()[0].strip()


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1].strip() if match else "unknown"


def _file_system(folder: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=False)
    return done.stdout.strip()
