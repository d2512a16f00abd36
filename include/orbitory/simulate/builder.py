"""Bytes of simulated JPSS files: one template for each shape of file, filled file by file."""

from __future__ import annotations

import io
import math

import h5py
import numpy as np

from orbitory.simulate.attributes import aggregate_attributes, granule_attributes, group_attributes, root_attributes
from orbitory.simulate.jpss import Granule, JpssFile, user_block
from orbitory.simulate.products import PRODUCTS, Array, Product, Role
from orbitory.simulate.template import Collection, Content, DataSet, Template, Values

#: satpy and real files: what stands where a sensor saw nothing.
_FILL = {"u1": 249, "u2": 65529, "i4": -993, "i8": -993, "f4": -999.3, "f8": -999.3}
#: Scale and offset that make of what ``_field`` writes reflectances of 0.3 to 0.8, and 250 to 310 K.
_FACTORS = {"ReflectanceFactors": (2.75e-5, 0.0), "BrightnessTemperatureFactors": (0.0033, 213.0)}
_REPLACED = {Role.LATITUDE, Role.LONGITUDE, Role.TIME, Role.SCANS}
#: Room for longer orbit numbers than the template's.
_USER_BLOCK_SLACK = 16


class JpssBuilder:
    """Keeps the templates it made: use one for a whole delivery. Equal files give equal bytes, from any builder."""

    def __init__(self, granule_bytes: int = 0) -> None:
        """``granule_bytes``: about so much data a granule (incompressible); 0 gives the small default arrays."""
        self._granule_bytes = granule_bytes
        self._templates: dict[tuple[object, ...], Template] = {}

    def build(self, file: JpssFile) -> bytes:
        """The whole file."""
        granules = [file.granules(PRODUCTS[name]) for name in file.products]
        shape = (file.products, file.platform, file.era, file.deflated, file.version, file.partner != "")
        key = (*shape, *(len(each) for each in granules))
        if key not in self._templates:
            content = self._content(file, granules, complete=True)
            room = file.era.user_block
            while room < len(content.user_block) + _USER_BLOCK_SLACK:
                room *= 2
            self._templates[key] = Template(content, user_block=room, deflate=file.deflated)
        return self._templates[key].fill(self._content(file, granules, complete=False))

    def _content(self, file: JpssFile, granules: list[tuple[Granule, ...]], *, complete: bool) -> Content:
        return Content(
            root=root_attributes(file),
            user_block="".join(user_block(file)).encode(),
            collections=[
                self._collection(file, PRODUCTS[name], own, complete)
                for name, own in zip(file.products, granules, strict=True)
            ],
        )

    def _collection(
        self, file: JpssFile, product: Product, granules: tuple[Granule, ...], complete: bool
    ) -> Collection:
        arrays: dict[str, DataSet] = {}
        generator = np.random.default_rng(len(product.collection))
        largest = next((array for array in product.arrays if array.role in (Role.FIELD, Role.PACKETS)), None)
        for array in product.arrays:
            kind = np.dtype(array.kind).newbyteorder(file.era.order)
            fill = _FILL[array.kind]
            if array.role in _REPLACED:
                data = np.concatenate([_replaced(file, product, granule, array) for granule in granules]).astype(kind)
                arrays[array.name] = DataSet(data=data, rows=array.shape[0], fill=fill, replaceable=True)
            elif complete and array.role is Role.PACKETS:
                shape = self._shape(array, enlarge=array is largest)
                for n in range(len(granules)):
                    data = generator.integers(0, 256, shape, dtype=np.uint8)
                    arrays[f"{array.name}_{n}"] = DataSet(data=data, rows=shape[0], granule=n)
            elif complete:
                shape = self._shape(array, enlarge=array is largest)
                noisy = shape != array.shape
                data = np.concatenate([_field(generator, array, shape, noisy) for _ in granules]).astype(
                    kind, copy=False
                )
                arrays[array.name] = DataSet(data=data, rows=shape[0], fill=fill)
        return Collection(
            name=product.collection,
            group=group_attributes(file, product),
            aggregate=aggregate_attributes(file, granules),
            granules=[granule_attributes(file, product, granule) for granule in granules],
            arrays=arrays,
        )

    def _shape(self, array: Array, *, enlarge: bool) -> tuple[int, ...]:
        rest = math.prod(array.shape[:-1]) * np.dtype(array.kind).itemsize
        wanted = self._granule_bytes // rest if enlarge else 0
        return (*array.shape[:-1], max(array.shape[-1], wanted))


def without_products(file: JpssFile) -> bytes:
    """A readable HDF5 file under a good name that says nothing about its granules."""
    target = io.BytesIO()
    with h5py.File(target, "w", libver=("earliest", "v110")) as h5:
        lead = file.lead
        h5.create_dataset(f"All_Data/{lead.collection}_All/{lead.arrays[0].name}", data=np.zeros((48, 64), "<u2"))
        h5.attrs["Platform_Short_Name"] = np.array([[file.platform.upper().encode()]])
        h5.attrs["N_HDF_Creation_Date"] = np.array([[f"{file.written:%Y%m%d}".encode()]])
        h5.attrs["N_HDF_Creation_Time"] = np.array([[f"{file.written:%H%M%S.%f}Z".encode()]])
    return target.getvalue()


def _replaced(file: JpssFile, product: Product, granule: Granule, array: Array) -> Values:
    if array.role is Role.SCANS:
        return np.array([granule.scans])
    if array.role is Role.TIME:
        ticks = np.linspace(granule.begin_iet, granule.end_iet, array.shape[0], endpoint=False).astype(np.int64)
        return np.broadcast_to(ticks.reshape(-1, *(1,) * (len(array.shape) - 1)), array.shape)
    rows, columns, *spots = array.shape
    side = math.isqrt(spots[0]) if spots else 1
    half_width = product.instrument.half_width_deg
    pair = file.track.swath(granule.begin, granule.end, (rows * side, columns * side), half_width)
    values = pair[array.role is Role.LONGITUDE]
    if side > 1:
        values = values.reshape(rows, side, columns, side).transpose(0, 2, 1, 3).reshape(array.shape)
    return values


def _field(generator: np.random.Generator, array: Array, shape: tuple[int, ...], noisy: bool) -> Values:
    if array.role is Role.FLAGS:
        return (generator.random(shape) > 0.995).astype(np.uint8)
    if array.role is Role.FACTORS:
        return np.array(_FACTORS.get(array.name, (0.0017, -0.21)))[: shape[0]]
    if noisy:
        return generator.integers(0, 65528, shape, dtype=np.uint16)
    row, column = np.divmod(np.arange(math.prod(shape)).reshape(shape), shape[-1])
    values = 20_000.0 + 9_000.0 * np.sin(row / 6.0 + 2.0 * np.sin(column / 9.0)) + generator.integers(0, 16, shape)
    values[generator.random(shape) > 0.999] = _FILL[array.kind]
    return values
