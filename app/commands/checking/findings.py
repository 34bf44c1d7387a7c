"""What is told of a model, before it is loaded and afterwards; its speed is told by `latency`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.commands.checking.telling import Telling
from app.loader import Loaded
from app.manifest import Manifest
from app.manifest.requirements import agree, installed
from app.schema.declared import json_schema
from app.tensors import Signature, TensorSpec
from app.trust import Rule
from app.verified import Verified

_MOST_COLUMNS: Final = 10
"""Of which each has a line."""
_HINT_CHARACTERS: Final = 300


def tell_files(folder: Path, fetch_s: float, telling: Telling) -> None:
    """How many there are, and how large."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    several = "file" if len(sizes) == 1 else "files"
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    text = f"{len(sizes)} {several}, {sum(sizes):,} bytes: {listed}"
    telling.ok("files", text, count=len(sizes), bytes=sum(sizes), fetch_s=round(fetch_s, 3))


def tell_digest(digest: str, telling: Telling) -> None:
    """And the line that lets its code run under `pinned`."""
    telling.ok("digest", f"sha256:{digest}", sha256=digest)
    line = f"sha256: {digest}"
    text = f"under trust pinned its entry in the configuration file needs: {line}"
    telling.ok("digest", text, line=line)


def tell_found(found: Verified, rule: Rule, telling: Telling) -> None:
    """All that is known before a byte of the model file is read."""
    stated = found.manifest
    tell_digest(found.digest, telling)
    is_code = _is_code(stated)
    if not is_code:
        telling.ok("trust", "no code of it runs: served under every trust", code=False, rule=rule)
    elif not found.untrusted:  # else its load says why
        text = f"it is code, which runs: trust is {rule} (pinned wants its digest, none refuses it)"
        telling.ok("trust", text, code=True, rule=rule)
    file = stated.file.relative_to(stated.folder).as_posix()
    text = f"{file}, by the runtime {stated.runtime}"
    telling.ok("format", text, file=file, runtime=stated.runtime)
    _tell_versions(stated.requirements, telling)


def tell_read(stated: Manifest, telling: Telling) -> None:
    """It is in memory, whatever comes then."""
    telling.ok("load", f"{stated.file.name} can be read")


def tell_load(loaded: Loaded, telling: Telling) -> None:
    """How long it took."""
    load_s = round(loaded.load_s, 3)
    telling.ok("load", f"load and first predictions took {load_s:.2f} s", load_s=load_s)


def tell_schema(signature: Signature, stated: Manifest, telling: Telling) -> None:
    """What it takes and gives, and how that is known."""
    known = _how_known(signature, stated)
    columns = {spec.name: known for spec in signature.inputs} | dict.fromkeys(
        signature.guessed, "guessed"
    )
    for spec in signature.inputs[:_MOST_COLUMNS]:
        tell = telling.warn if columns[spec.name] == "guessed" else telling.ok
        tell("schema", f"{spec.name}: {_type(spec)}, {columns[spec.name]}")
    if len(columns) > _MOST_COLUMNS:
        telling.ok("schema", f"... and {len(columns) - _MOST_COLUMNS} more")
    gives = ", ".join(f"{spec.name} ({_type(spec)})" for spec in signature.outputs)
    told = [
        {"name": s.name, "dtype": s.dtype, "shape": s.shape, "known": columns[s.name]}
        for s in signature.inputs
    ]
    classes = {"classes": signature.classes} if signature.classes else {}
    telling.ok("schema", f"gives {gives}", inputs=told, result=signature.result, **classes)
    if stated.schema is None:
        text = json.dumps(json_schema(signature)).replace("{}", '{"type": "..."}')
        short = text if len(text) <= _HINT_CHARACTERS else f"{text[:_HINT_CHARACTERS]} ..."
        told_of = "ranges, categories, nulls and examples can be told by a schema.json, as in"
        telling.ok("schema", f"{told_of} {short}", hint=json_schema(signature))


def tell_loaded(loaded: Loaded, alone: Loaded, telling: Telling) -> None:
    """What its load has shown.

    Args:
        alone: the same, loaded once more where its first load brought libraries.
    """
    verdict = loaded.verdict
    if verdict.has_predicted:  # else the log has said why
        hint = "" if loaded.manifest.golden else " (no golden.json, so no answer was compared)"
        telling.ok("golden", f"{verdict.checked} ok{hint}", checked=verdict.checked)
    else:
        telling.warn("golden", verdict.checked, checked=verdict.checked)
    tell = telling.ok if verdict.joinable else telling.warn
    tell("joining", verdict.joining, joinable=verdict.joinable)
    if loaded.acceleration.mode != "off":
        tell = telling.warn if loaded.acceleration.report.reason else telling.ok
        tell("acceleration", loaded.acceleration.told(), mode=loaded.acceleration.mode)
    _tell_memory(loaded, alone, telling)


def _is_code(stated: Manifest) -> bool:
    """To load it is to run it; skops files may hold types that are not trusted, which is told."""
    is_pickle = stated.runtime == "sklearn" and stated.file.suffix != ".skops"
    return is_pickle or stated.runtime in ("pyfunc", "script")


def _tell_versions(requirements: Mapping[str, str], telling: Telling) -> None:
    """The training environment beside this one."""
    if not requirements:
        text = "not told; a requirements.txt or conda.yaml of training would be compared"
        telling.ok("versions", text)
    same, absent = [], []
    for package, trained in sorted(requirements.items()):
        here = installed(package)
        if here is None:
            absent.append(f"{package} {trained}")
        elif agree(trained, here):
            same.append(f"{package} {here}")
        else:
            text = f"{package}: trained with {trained}, here {here}"
            telling.warn("versions", text, **{package: {"trained": trained, "here": here}})
    if same:
        telling.ok("versions", f"as trained: {', '.join(same)}")
    if absent:
        telling.ok("versions", f"not installed here, unless it is needed: {', '.join(absent)}")


def _how_known(signature: Signature, stated: Manifest) -> str:
    """Of the columns that are not guessed; an ONNX graph declares its inputs."""
    is_declared = signature.declared is not None or stated.runtime == "onnx"
    return "declared" if is_declared else "derived"


def _type(spec: TensorSpec) -> str:
    shape: tuple[Any, ...] = tuple("any" if size is None else size for size in spec.shape[1:])
    sizes = f" x {' x '.join(map(str, shape))}" if shape and shape != (1,) else ""
    return f"{spec.dtype}{sizes}{', may be null' if spec.nullable else ''}"


def _tell_memory(loaded: Loaded, alone: Loaded, telling: Telling) -> None:
    size, measured = alone.size, alone.measured
    facts = {"bytes": size.size_bytes, "source": size.source, "measured": measured.size_bytes}
    text = f"{size.size_bytes:,} bytes ({size.source})"
    if size != measured:
        text += f"; {measured.size_bytes:,} bytes {measured.source}"
    telling.ok("memory", text, **facts)
    if alone is not loaded:
        first = loaded.measured
        text = f"the first such model of a process: {first.size_bytes:,} bytes ({first.source})"
        telling.ok("memory", text, first=first.size_bytes)
