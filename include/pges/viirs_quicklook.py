"""One granule of a VIIRS band with its geolocation → a map of it in grey levels, as COG and as PNG."""

from __future__ import annotations

import sys

import numpy as np

from mapping import as_bytes, grid_about, mean_on, write_cog, write_png
from run import Run, answer
from swath import MEASURED, read_swath

PRODUCT = "VQLKM"
#: Cells on the longer side: enough to see clouds and coasts.
_CELLS = 768


def make(run: Run) -> None:
    """Inputs ``sdr`` and ``geo``, of one granule."""
    (band, *_) = run.granules("sdr")
    swath = read_swath(band, run.partner("geo", band))
    grid = grid_about(swath, _CELLS)
    grey = as_bytes(mean_on(grid, [swath])[0], *MEASURED[swath.measured])
    tags = {"granule": band.key, "measured": swath.measured, "period": run.period}
    write_cog(run.product(PRODUCT, "tif"), grey[np.newaxis], (grid.projection, grid.transform), tags)
    write_png(run.product(PRODUCT, "png"), grey)


if __name__ == "__main__":
    sys.exit(answer(make))
