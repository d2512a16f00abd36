"""Loopback ports: picked free, then remembered, so that addresses stay the same from one start to the next."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import zlib

from private_stack.places import Places, write_private

#: The port a person would guess, tried first.
_PREFERRED = {"api": 8080, "scheduler_health": 8974, "mail": 8025}


def is_free(port: int) -> bool:
    """Whether a server could listen there now, on loopback or on all addresses."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno in (98, 13):  # in use; not ours to take
                    return False
    return True


def becomes_free(port: int, patience_seconds: float) -> bool:
    """The same, after a while at most: who was killed holds its port until it has really gone."""
    deadline = time.monotonic() + patience_seconds
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


class Ports:
    """The ports of one stack."""

    def __init__(self, places: Places) -> None:
        """Reads what an earlier start remembered."""
        self._places = places
        self._file = places.home / "ports.json"
        # Below the range from which the kernel takes ports for outgoing connections.
        self._start = 20_000 + zlib.crc32(str(places.home).encode(errors="surrogateescape")) % 10_000
        self._ports: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError):
            self._ports = json.loads(self._file.read_text())

    def get(self, name: str) -> int:
        """The port of ``name``; picked now if there is none yet."""
        return self._ports[name] if name in self._ports else self.pick(name)

    def pick(self, name: str) -> int:
        """Choose a free port for ``name`` and remember it."""
        taken = {port for other, port in self._ports.items() if other != name}
        candidates = [_PREFERRED[name], *range(self._start, self._start + 2_000)]
        self._ports[name] = next(port for port in candidates if port not in taken and is_free(port))
        self._places.make()
        write_private(self._file, json.dumps(self._ports, indent=1) + "\n")
        return self._ports[name]
