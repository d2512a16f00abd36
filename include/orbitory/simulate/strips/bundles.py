"""TAR bundles of metadata as NGA sends them beside an image, and those that an attacker sends."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Mapping

_EPOCH = 1_230_768_000
#: What the bundle of the "huge member" fault claims to hold: far beyond any metadata file.
_HUGE_BYTES = 1 << 40


def bundle(files: Mapping[str, bytes]) -> bytes:
    """A TAR of these files, with fixed times and owners."""
    return _tar((_member(name, len(content)), content) for name, content in files.items())


def _member(name: str, size: int, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode, member.type, member.linkname = size, _EPOCH, 0o644, kind, target
    return member


def _tar(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def _with_member(member: tarfile.TarInfo, content: bytes = b"") -> Callable[[Mapping[str, bytes]], bytes]:
    def build(files: Mapping[str, bytes]) -> bytes:
        good = ((_member(name, len(data)), data) for name, data in files.items())
        return _tar([*good, (member, content)])

    return build


def _huge(files: Mapping[str, bytes]) -> bytes:
    """A header that announces far more than follows it."""
    good = bundle(files).rstrip(b"\0")
    announced = _member(f"{next(iter(files)).rpartition('/')[0]}/huge.xml", _HUGE_BYTES)
    header = announced.tobuf(format=tarfile.GNU_FORMAT)
    return good.ljust(-(-len(good) // 512) * 512, b"\0") + header + b"\0" * 10_240


#: By the name of the fault.
ATTACKS: Mapping[str, Callable[[Mapping[str, bytes]], bytes]] = {
    "tar_parent": _with_member(_member("../../../../tmp/orbitory-was-here.xml", 6), b"<imd/>"),
    "tar_absolute": _with_member(_member("/tmp/orbitory-was-here.xml", 6), b"<imd/>"),
    "tar_link": _with_member(_member("shadow.xml", 0, tarfile.SYMTYPE, "/etc/shadow")),
    "tar_huge": _huge,
}
