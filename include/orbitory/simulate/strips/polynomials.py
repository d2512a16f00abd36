"""Rational polynomials that lead from the Earth's surface into an image: as GDAL takes them, as RPB, and as a TRE.

RPC00B: STDI-0002 volume 1, appendix E. The terms used here are 1, longitude, latitude and height.
"""

from __future__ import annotations

from dataclasses import dataclass

from orbitory.simulate.strips.notation import Entries, Text
from orbitory.simulate.strips.scene import Scene

_HEIGHT, _HEIGHT_SCALE = 95, 501
_ERRORS = (1.49, 0.58)
_DENOMINATOR = (1.0, *(0.0,) * 19)


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomials:
    """Offset and scale of line, sample, latitude and longitude; numerators of twenty terms."""

    line: tuple[int, int]
    sample: tuple[int, int]
    latitude: tuple[float, float]
    longitude: tuple[float, float]
    line_numerator: tuple[float, ...]
    sample_numerator: tuple[float, ...]


def polynomials(scene: Scene) -> Polynomials:
    """Fitted to the corners of ``scene``. About a pole no such fit exists: there they only look right."""
    (x0, y0), (x1, y1), _, (x3, y3) = scene.corners
    across = ((x1 - x0 + 180) % 360 - 180, y1 - y0)
    down = ((x3 - x0 + 180) % 360 - 180, y3 - y0)
    # What GDAL gets is what the texts say: rounded as the TRE wants it.
    middle = (round((x0 + (across[0] + down[0]) / 2 + 180) % 360 - 180, 4), round(y0 + (across[1] + down[1]) / 2, 4))
    east = max(round((abs(across[0]) + abs(down[0])) / 2, 4), 0.0001)
    north = max(round((abs(across[1]) + abs(down[1])) / 2, 4), 0.0001)
    area = across[0] * down[1] - across[1] * down[0]
    flat = abs(area) < 1e-9
    # From degrees to halves of the image, then from scaled degrees.
    sample = (1.0, 0.0) if flat else (2 * east * down[1] / area, -2 * north * down[0] / area)
    line = (0.0, -1.0) if flat else (-2 * east * across[1] / area, 2 * north * across[0] / area)
    return Polynomials(
        line=(scene.rows // 2, scene.rows // 2),
        sample=(scene.columns // 2, scene.columns // 2),
        latitude=(middle[1], north),
        longitude=(middle[0], east),
        line_numerator=_terms(line),
        sample_numerator=_terms(sample),
    )


def _terms(of_degrees: tuple[float, float]) -> tuple[float, ...]:
    return (0.0, round(of_degrees[0], 5), round(of_degrees[1], 5), -0.0004, *(0.0,) * 16)


def rpb(scene: Scene) -> Entries:
    """The RPB file, and the RPB element of the XML."""
    fit = polynomials(scene)
    image: Entries = [
        ("errBias", f"{_ERRORS[0]:7.2f}"),
        ("errRand", f"{_ERRORS[1]:7.2f}"),
        ("lineOffset", f"{fit.line[0]}"),
        ("sampOffset", f"{fit.sample[0]}"),
        ("latOffset", f"{fit.latitude[0]:9.4f}"),
        ("longOffset", f"{fit.longitude[0]:9.4f}"),
        ("heightOffset", f"{_HEIGHT}"),
        ("lineScale", f"{fit.line[1]}"),
        ("sampScale", f"{fit.sample[1]}"),
        ("latScale", f"{fit.latitude[1]:9.4f}"),
        ("longScale", f"{fit.longitude[1]:9.4f}"),
        ("heightScale", f"{_HEIGHT_SCALE}"),
        ("lineNumCoef", _written(fit.line_numerator)),
        ("lineDenCoef", _written(_DENOMINATOR)),
        ("sampNumCoef", _written(fit.sample_numerator)),
        ("sampDenCoef", _written(_DENOMINATOR)),
    ]
    return [
        ("satId", Text(scene.sensor)),
        ("bandId", Text(band_id(scene))),
        ("SpecId", Text("RPC00B")),
        ("IMAGE", image),
    ]


def band_id(scene: Scene) -> str:
    """``P`` or ``Multi``, as IMD, RPB and TIL say it."""
    return "P" if scene.product[0] == "P" else "Multi"


def _written(terms: tuple[float, ...]) -> tuple[str, ...]:
    return tuple(f"{term:+.6E}" for term in terms)


def rpc_tags(scene: Scene) -> dict[str, str]:
    """In the words of GDAL's RPC metadata domain."""
    fit = polynomials(scene)
    lists = {
        "LINE_NUM_COEFF": fit.line_numerator,
        "LINE_DEN_COEFF": _DENOMINATOR,
        "SAMP_NUM_COEFF": fit.sample_numerator,
        "SAMP_DEN_COEFF": _DENOMINATOR,
    }
    single = {
        "ERR_BIAS": _ERRORS[0],
        "ERR_RAND": _ERRORS[1],
        "LINE_OFF": fit.line[0],
        "SAMP_OFF": fit.sample[0],
        "LAT_OFF": fit.latitude[0],
        "LONG_OFF": fit.longitude[0],
        "HEIGHT_OFF": _HEIGHT,
        "LINE_SCALE": fit.line[1],
        "SAMP_SCALE": fit.sample[1],
        "LAT_SCALE": fit.latitude[1],
        "LONG_SCALE": fit.longitude[1],
        "HEIGHT_SCALE": _HEIGHT_SCALE,
    }
    return {name: f"{value}" for name, value in single.items()} | {
        name: " ".join(f"{term:.6E}" for term in terms) for name, terms in lists.items()
    }


def rpc_record(scene: Scene) -> str:
    """The 1041 characters of an RPC00B tagged record extension."""
    fit = polynomials(scene)
    head = f"1{_ERRORS[0]:07.2f}{_ERRORS[1]:07.2f}{fit.line[0]:06d}{fit.sample[0]:05d}"
    head += f"{fit.latitude[0]:+08.4f}{fit.longitude[0]:+09.4f}{_HEIGHT:+05d}{fit.line[1]:06d}{fit.sample[1]:05d}"
    head += f"{fit.latitude[1]:+08.4f}{fit.longitude[1]:+09.4f}{_HEIGHT_SCALE:+05d}"
    terms = (*fit.line_numerator, *_DENOMINATOR, *fit.sample_numerator, *_DENOMINATOR)
    return head + "".join(_coefficient(term) for term in terms)


def _coefficient(value: float) -> str:
    """Twelve characters ``+0.123456E-1``: the mantissa is below 1, the exponent one digit."""
    mantissa, exponent = f"{value:.5E}".split("E")
    power = int(exponent) + 1 if float(mantissa) else 0
    digits = mantissa.lstrip("-").replace(".", "")
    return f"{'-' if value < 0 else '+'}0.{digits}E{power:+d}"
