"""A model folder that is here, is what was registered, and of which is known what it may do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from app import manifest
from app.errors import ModelInvalid
from app.locks import Lease
from app.manifest import Manifest, Script
from app.registries import Details, Registry
from app.store import Store
from app.tensors import ModelRef
from app.trust import Trust, exposed

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Verified:
    """A model folder on disk, read but not loaded."""

    manifest: Manifest
    details: Details
    digest: str
    untrusted: str
    """Why no code of it may run; empty: it may."""
    size_bytes: int
    """Of all its files."""
    fetch_s: float
    lease: Lease
    """To be closed when it is loaded: the folder may go then."""


def bring(
    ref: ModelRef,
    registry: Registry,
    store: Store,
    trust: Trust,
    tell: Callable[[str], None],
    script: Script | None = None,
) -> Verified:
    """The folder of `ref`, fetched if need be. Blocking.

    Args:
        tell: called with the name of each step.
        script: the operator's own, which lies where it is; its file alone is the model.

    Raises:
        ServingError: it cannot be had, or its files are not those that may be served.
    """
    tell("fetch")
    started = perf_counter()
    lease = store.lease(ref, registry)
    if script is not None:
        stated = Manifest(folder=lease.folder, file=script.file, runtime="script", script=script)
        digest, size = manifest.file_sha256(script.file), script.file.stat().st_size
        untrusted = trust.refusal(digest)
        return Verified(stated, Details(), digest, untrusted, size, 0.0, lease)
    try:
        return _verified(ref, registry, store, trust, tell, lease, perf_counter() - started)
    except BaseException:
        lease.close()
        raise


def _verified(
    ref: ModelRef,
    registry: Registry,
    store: Store,
    trust: Trust,
    tell: Callable[[str], None],
    lease: Lease,
    fetch_s: float,
) -> Verified:
    tell("verify")
    folder = lease.folder
    digest, untrusted = _judged(folder, trust)
    details = store.details(ref, registry)
    _check_registered(folder, digest, details)
    size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    stated = manifest.read(folder)
    return Verified(stated, details, digest, untrusted, size_bytes, fetch_s, lease)


def _judged(folder: Path, trust: Trust) -> tuple[str, str]:
    """The digest of `folder`, and why no code in it may run (empty: it may).

    Raises:
        ModelInvalid: the configuration lists other digests.
    """
    open_to_others = exposed(folder) if trust.rule == "pinned" else ""
    digest = manifest.digest(folder)
    if trust.excludes(digest):
        raise ModelInvalid(
            f"its digest is none of those in the configuration; to serve these files, add "
            f"sha256: {digest} to the model there"
        )
    untrusted = trust.refusal(digest)
    if open_to_others and not untrusted:
        untrusted = (
            f"its trust is pinned, and others may change {open_to_others} after its digest was "
            "computed; take their right to write (chmod -R go-w) and let its owner be the server"
        )
    return digest, untrusted


def _check_registered(folder: Path, digest: str, details: Details) -> None:
    """Raises: ModelInvalid when the files are not those of which a digest was registered."""
    registered = details.properties.get("sha256") or details.tags.get("sha256") or ""
    if not _SHA256.fullmatch(registered) or registered == digest:
        return
    files = [path for path in folder.rglob("*") if path.is_file()]
    if len(files) == 1 and manifest.file_sha256(files[0]) == registered:
        return
    raise ModelInvalid(
        f"its files are not those that were registered: their sha256 is {digest}, the registry has "
        f"{registered}; register it anew"
    )
