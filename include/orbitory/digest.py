"""One hash of all that an archive holds: the same for equal content, whatever the order, workers or retries."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass

from blake3 import blake3

from orbitory import tree
from orbitory.errors import IntegrityError
from orbitory.inventory import Inventory
from orbitory.storage import Storage
from orbitory.zones import SENTINEL

_HEADERS_AT_ONCE = 200
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """BLAKE3 in hex."""

    #: Of what the archive holds: granules, files, which is whose, headers, and every stored byte. Equal for archives
    #: that hold the same, however it came there; a full export makes it equal.
    digest: str
    #: Of all that the inventory says: the same, what expires, and the fates of all arrivals.
    inventory: str
    #: Of names and bytes in storage alone.
    storage: str

    def as_dict(self) -> dict[str, str]:
        """JSON shape."""
        return asdict(self)


def digest(inventory: Inventory, storage: Storage) -> Digest:
    """Hash the content of inventory and storage; memory stays bounded, every stored byte is read.

    Only what means something is hashed: no ids, none of our own timestamps, no run numbers. While a run is at work
    the answer is that of a moving target. Raises IntegrityError when storage looks unmounted.
    """
    if tree.expects_files(inventory) and not (storage.root / SENTINEL).exists():
        raise IntegrityError(
            f"storage {storage.root} has no {SENTINEL}: it looks unmounted, so there is nothing to hash"
        )
    (rows, held), files = of_inventory(inventory), of_storage(storage)
    both = blake3(f"{held}\n{files}\n".encode()).hexdigest()
    return Digest(digest=both, inventory=rows, storage=files)


def of_inventory(inventory: Inventory) -> tuple[str, str]:
    """Hash granules, assets, their links, what expires, the fates of arrivals and the headers; and the holdings."""
    hasher = held = blake3()
    for statement in ("digest_granules", "digest_assets", "digest_links", "digest_expiry", "digest_arrivals"):
        if statement == "digest_expiry":
            held = hasher.copy()
        hasher.update(f"{statement}\n".encode())
        for row in inventory.stream(statement):
            hasher.update(row["hash"])
    headers = _headers(inventory).to_bytes(32, "little")
    for each in (hasher, held):
        each.update(headers)
    return hasher.hexdigest(), held.hexdigest()


def _headers(inventory: Inventory) -> int:
    """The sum of the headers' hashes: headers are big, and a sum needs no sorting.

    They are hashed unpacked, because two versions of zlib may pack the same text differently.
    """
    total, after = 0, 0
    while rows := inventory.all("digest_headers", after=after, limit=_HEADERS_AT_ONCE):
        for row in rows:
            hasher = blake3(row["path"].encode() + b"\0")
            unpack(row["header"], hasher, row["path"])
            total += int.from_bytes(hasher.digest(), "little")
        after = rows[-1]["id"]
    return total % (1 << 256)


def unpack(header: bytes, hasher: blake3, path: str) -> None:
    """Feed the unpacked header to ``hasher`` piece by piece. Raises IntegrityError when it is damaged."""
    packed, unpacker = header, zlib.decompressobj()
    try:
        while packed:
            hasher.update(unpacker.decompress(packed, _CHUNK_BYTES))
            packed = unpacker.unconsumed_tail
        if header and not unpacker.eof:
            raise zlib.error("it ends too early")
    except zlib.error as error:
        raise IntegrityError(f"the header kept for {path} is damaged ({error}): extract the file again") from error


def of_storage(storage: Storage) -> str:
    """Hash path, size and bytes of every file in storage; a storage that does not stand yet is an empty one."""
    hasher = blake3()
    for entry in tree.walk(storage.root, skip=tree.NOT_ARCHIVED) if storage.root.is_dir() else ():
        hasher.update(len(entry.path).to_bytes(4, "little") + entry.path + entry.size.to_bytes(8, "little"))
        hasher.update(tree.content(storage, entry) or b"")
    return hasher.hexdigest()
