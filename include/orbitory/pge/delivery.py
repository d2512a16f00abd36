"""From the output folder of a PGE to the landing zone: checked against its definition, then all at once or not at all.

What is delivered is put together in a folder beside the landing folders, on their file system, where nobody looks. It
gets provenance and checksums, reaches the disk, and appears as ``landing/pge/<instance>-<delivery>/`` by one rename.
An instance that is run afresh delivers into another folder: what the ingest knows of the earlier one stays true.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import shutil
import stat as modes
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from orbitory.catalogue import Catalogue, Pge, Source
from orbitory.checksum import Digests, Hasher
from orbitory.errors import ConfigurationError, DataError, IntegrityError
from orbitory.inventory import Row
from orbitory.model import Identity
from orbitory.names import identify
from orbitory.names.pges import period_name
from orbitory.pge.failures import RunFailed
from orbitory.pge.staging import name_for
from orbitory.provenance import ENDING, Ingredient, Provenance, written
from orbitory.site import Site
from orbitory.zones import FileSystemSync, display, move, own_errors, sync_folder

#: The source through which outputs come back.
SOURCE = "pge"
#: Below the landing zone; no source can be called so.
STAGING = ".pge-staging"
MANIFEST = "SHA256SUMS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file that a PGE made."""

    name: str
    #: The output of the definition that it is one of.
    promised: str
    #: Product type.
    product: str
    role: str
    path: Path
    size: int
    #: BLAKE3, once it stands in the delivery.
    digest: bytes = b""


def home(site: Site) -> Path:
    """The landing folder of what PGEs make."""
    source = site.catalogue.sources.get(SOURCE)
    return site.settings.landing / (source.landing if source else SOURCE)


def folder_of(instance: Row) -> str:
    """Name of the folder of the delivery that the instance makes or made, below the landing folder."""
    return f"{instance['id']}-{instance['delivery']}"


def check(pge: Pge, instance: Row, catalogue: Catalogue, out: Path) -> list[Output]:
    """What stands in the output folder, in the order of names, if it is what the definition promises.

    Raises RunFailed with ``foreign_output``, ``wrong_output``, ``partial_output`` or ``no_output``, or ``definition``
    where that does not tell outputs apart.
    """
    source = catalogue.source(SOURCE)
    try:
        out.chmod(0o755)  # the PGE may have closed it
        files = [_identified(catalogue, source, path) for path in sorted(out.iterdir())]
        found = [_judge(pge, instance["period_key"], file) for file in files]
    except OSError as error:
        raise RunFailed("wrong_output", f"what it made cannot be read: {error}") from None
    if not found and any(each.min for each in pge.outputs):
        raise RunFailed("no_output", "the output folder is empty")
    if found and all(output.role != "data" for output in found):
        raise RunFailed("wrong_output", "it made nothing but pictures, which are archived beside data alone")
    for each in pge.outputs:
        count = sum(output.promised == each.name for output in found)
        if count < each.min:
            raise RunFailed(
                "partial_output", f"output {each.name!r} ({each.pattern}): {count} files, expected at least {each.min}"
            )
        if count > each.max:
            raise RunFailed(
                "wrong_output", f"output {each.name!r} ({each.pattern}): {count} files, expected at most {each.max}"
            )
    return found


def _identified(catalogue: Catalogue, source: Source, path: Path) -> tuple[Path, Identity | str]:
    """The file as the ingest will know it, or why it would not take it."""
    try:
        return path, identify(path.name, source, catalogue)
    except DataError as error:
        return path, error.detail


def _judge(pge: Pge, period: str, file: tuple[Path, Identity | str]) -> Output:
    path, identity = file
    shown = display(os.fsencode(path.name))
    fitting = [each for each in pge.outputs if fnmatch.fnmatchcase(path.name, each.pattern)]
    if not fitting:
        raise RunFailed("foreign_output", f"{shown} fits no output of PGE {pge.name}")
    if len(fitting) > 1:
        names = " and ".join(repr(each.name) for each in fitting)
        raise RunFailed("definition", f"{shown} fits the patterns of several outputs: {names}")
    status = path.lstat()
    if not modes.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise RunFailed("foreign_output", f"{shown} is not an ordinary file with one name")
    if isinstance(identity, str):
        raise RunFailed("foreign_output", f"the archive could not take {shown}: {identity}")
    if identity.role == "metadata":
        raise RunFailed("foreign_output", f"{shown} is named as the provenance that is written about every output")
    if not status.st_size:
        raise RunFailed("wrong_output", f"{shown} is empty")
    told = identity.details
    made = (identity.product_type, told["pge"], told["version"])
    if made != (fitting[0].product, pge.name, pge.version):
        wanted = f"{fitting[0].product} of {pge.name} {pge.version}"
        raise RunFailed("wrong_output", f"{shown} is named as {made[0]} of {made[1]} {made[2]}, expected {wanted}")
    own = period_name(period)
    if told["period"] != own and not told["period"].startswith(f"{own}-"):
        raise RunFailed("wrong_output", f"{shown} is named for period {told['period']}, expected {own}")
    return Output(
        name=path.name,
        promised=fitting[0].name,
        product=fitting[0].product,
        role=identity.role,
        path=path,
        size=status.st_size,
    )


def assemble(
    home: Path, instance: Row, outputs: Sequence[Output], inputs: Sequence[Ingredient]
) -> tuple[Path, list[Output]]:
    """Put the delivery together, durably, where the ingest does not look; its folder, and outputs with their digests.

    Raises Transient when the disk is in the way, IntegrityError when a delivery of the instance stands already.
    """
    zone = home.parent / STAGING
    folder = zone / name_for(instance["id"])
    target = folder_of(instance)
    clear(home, target)
    if stands(home, target):
        raise IntegrityError(
            f"{home / target} stands already, and not by this try: nothing was delivered; "
            f"look at it, move it away, then run the instance again"
        )
    with own_errors(f"put the delivery together in {zone}"):
        folder.mkdir(parents=True)
        home.mkdir(exist_ok=True)
        with FileSystemSync(folder) as disk:
            delivered, lines = [], []
            for output in outputs:
                digests = _bring(output.path, folder / output.name)
                beside, told = f"{output.name}{ENDING}", _provenance(instance, output, inputs)
                (folder / beside).write_bytes(told)
                lines += [f"{digests.values['sha256']}  {output.name}\n", f"{sha256(told).hexdigest()}  {beside}\n"]
                delivered.append(replace(output, path=folder / output.name, digest=digests.blake3))
            (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")
            disk.sync()
    return folder, delivered


def _bring(source: Path, target: Path) -> Digests:
    """Move the file, to another file system by copying it, and read its digests from what stands there."""
    hasher = Hasher()
    source.chmod(0o644)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copy(source, target)
    descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return hasher.digest(descriptor, ("sha256",))
    finally:
        os.close(descriptor)


def _provenance(instance: Row, output: Output, inputs: Sequence[Ingredient]) -> bytes:
    return written(
        Provenance(
            file=output.name,
            instance=instance["id"],
            pge=instance["pge"],
            version=instance["version"],
            period=instance["period_key"],
            created=instance["ready_at"],
            sensing_start=instance["sensing_start"],
            sensing_end=instance["sensing_end"],
            inputs=tuple(inputs),
        )
    )


def publish(home: Path, folder: Path, name: str) -> None:
    """Let the delivery appear under its name, whole, where the ingest looks.

    Raises IntegrityError when something stands there already, ConfigurationError when it is another file system.
    """
    target = home / name
    with own_errors(f"deliver to {target}"):
        if folder.stat().st_dev != target.parent.stat().st_dev:
            raise ConfigurationError(
                f"{target.parent} is on another file system than {folder.parent}: a delivery must appear by a rename"
            )
        try:
            move(folder, target)
        except FileExistsError:
            raise IntegrityError(
                f"{target} appeared while its instance held the claim: nothing was delivered"
            ) from None
        sync_folder(target.parent)


def clear(home: Path, name: str) -> None:
    """Remove the folder of a delivery that the ingest has emptied."""
    with suppress(OSError):
        (home / name).rmdir()


def stands(home: Path, name: str) -> bool:
    """Whether a delivery, or a file of it, stands in the landing zone, as far as the ingest has left it there."""
    return (home / name).exists()


def clear_staging(home: Path, *, age_seconds: float, now: float) -> int:
    """Remove deliveries that were never published and that nobody puts together any more."""
    zone, removed = home.parent / STAGING, 0
    for folder in zone.iterdir() if zone.is_dir() else ():
        if folder.lstat().st_mtime < now - age_seconds:
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed
