"""A granule of a VIIRS band with those before and after it → a map about it without gaps at its edges, as COG.

Band 1 is the mean of what was seen, band 2 in how many granules. The first and the last granule of a pass have a
neighbour on one side only, so that N granules give N-2 maps.
"""

from __future__ import annotations

import sys

import numpy as np

from mapping import grid_about, mean_on, write_cog
from run import Granule, Run, Unusable, answer
from swath import read_swath

PRODUCT = "VCMPM"
_CELLS = 1024


def make(run: Run) -> None:
    """Inputs ``sdr``, the granule that the period names and its neighbours, and ``geo``, of the same."""
    granules = sorted(run.granules("sdr"), key=lambda each: each.number)
    middle = _middle(run, granules)
    swaths = {each.key: read_swath(each, run.partner("geo", each)) for each in granules}
    if len({swath.measured for swath in swaths.values()}) > 1:
        raise Unusable(f"the granules measure {', '.join(sorted({each.measured for each in swaths.values()}))}")
    grid = grid_about(swaths[middle.key], _CELLS)
    bands = np.stack(mean_on(grid, swaths.values()))
    tags = {"granule": middle.key, "measured": swaths[middle.key].measured, "period": run.period}
    write_cog(run.product(PRODUCT, "tif"), bands, (grid.projection, grid.transform), tags)


def _middle(run: Run, granules: list[Granule]) -> Granule:
    """The granule that the period names. Raises Unusable unless there is one on either side of it."""
    numbers = [each.number for each in granules]
    at = numbers.index(run.period) if run.period in numbers else -1
    if not 0 < at < len(numbers) - 1:
        raise Unusable(f"{run.period} needs one granule before and one after it, got {', '.join(numbers)}")
    return granules[at]


if __name__ == "__main__":
    sys.exit(answer(make))
