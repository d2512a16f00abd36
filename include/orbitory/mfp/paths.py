r"""Both styles of a file's path: as users of Linux find it, and as users of Windows do.

The pair is lossless: each style gives back the other, letter for letter. What Windows cannot hold is refused, never
changed: a path that came back different would name no file. Rows get theirs by the inventory's ``windows_path``, the
same rule in SQL.
"""

from __future__ import annotations

import re

from orbitory.mfp import Parameters

#: No name on Windows holds these; a backslash is a separator there.
_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]')
#: Devices there, whatever follows a dot.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *(?:\..*)?", re.IGNORECASE | re.DOTALL)


class NoSuchPair(ValueError):
    """The path has no counterpart in the other style; the message says why."""


def to_windows(path: str, parameters: Parameters) -> str:
    """The path below the Windows root of the one below the Linux root. Raises NoSuchPair.

    >>> to_windows("/css/nga/WV01/1B/2015/100/a.ntf", Parameters())
    'P:/data/WV01/1B/2015/100/a.ntf'
    """
    below = _below(path, parameters.linux_root)
    for name in below.split("/"):
        if _FORBIDDEN.search(name) or _DEVICE.fullmatch(name) or name.endswith((".", " ")):
            raise NoSuchPair(f"{path!r}: Windows cannot hold the name {name!r}")
    return parameters.windows_root + below


def to_linux(path: str, parameters: Parameters) -> str:
    r"""The other way round; a drive in small letters and backslashes, as Windows writes them, are understood.

    >>> to_linux("P:/data/WV01/a.ntf", Parameters()), to_linux("p:\\data\\WV01\\a.ntf", Parameters())
    ('/css/nga/WV01/a.ntf', '/css/nga/WV01/a.ntf')
    """
    plain = path.replace("\\", "/")
    if plain[1:2] == ":":
        plain = plain[0].upper() + plain[1:]
    linux = parameters.linux_root + _below(plain, parameters.windows_root)
    to_windows(linux, parameters)
    return linux


def _below(path: str, root: str) -> str:
    if not path.startswith(root):
        raise NoSuchPair(f"{path!r} is not below {root!r}")
    below = path[len(root) :]
    if not below or any(name in ("", ".", "..") for name in below.split("/")) or "\0" in below:
        raise NoSuchPair(f"{path!r} is no plain path below {root!r}")
    return below
