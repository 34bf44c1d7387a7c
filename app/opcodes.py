"""What a pickle would import, read from its opcodes: nothing of it is run or imported.

It tells people what was refused. What a pickle computes its names from stays hidden, so it is no
proof that a file is harmless.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import pickletools
import re
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final, cast

MAX_BYTES: Final = 1 << 28
"""Read of one file, decompressed."""
MAX_S: Final = 5.0
_SHOWN: Final = 8

_KNOWN: Final = frozenset({"joblib", "numpy", "scipy", "sklearn", "_codecs", "collections"})
_BUILTINS: Final = frozenset(
    {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"}
    | {"object", "range", "set", "slice", "str", "tuple", "xrange"}
    | {"_reconstructor", "__newobj__", "__newobj_ex__"}
)
"""Of the modules that every pickle needs, what makes values and nothing else."""
_WRAPPERS: Final = ("NumpyArrayWrapper", "NDArrayWrapper")
"""Of joblib: after such an object the bytes of its array stand between the opcodes."""
_OPENERS: Final[Mapping[bytes, Callable[..., Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
    b"]\x00": lzma.open,
}
_TYPE: Final = re.compile(r"[<>|=]?([a-zA-Z])(\d+)")
"""A numpy type's short name: `f8`, `U5`, `V16`."""


class _Mark:
    """Where a list of opcodes' arguments begins on the stack."""


class _Made:
    """What would be made by calling something imported: its name, what was passed, its state."""

    def __init__(self, name: str, given: Any) -> None:
        self.name = name
        self.given = given
        self.state: dict[Any, Any] = {}


def imports(path: Path) -> tuple[str, ...]:
    """Dotted names in the file at `path`, sorted; as far as it can be read. Blocking."""
    scan = _Scan(time.monotonic() + MAX_S)
    try:
        with path.open("rb") as file:
            scan.read(_Bounded(_opened(file)))
    except Exception:  # noqa: BLE001, S110  # garbage: what was found before it is told
        pass
    return tuple(sorted(scan.names))


def told(path: Path) -> str:
    """What the pickle at `path` would import, for people: what is unusual comes first."""
    names = imports(path)
    if not names:
        return "what it would import cannot be told"
    odd = [name for name in names if not _is_usual(name)]
    usual = [name for name in names if _is_usual(name)]
    text = f"it would import {_some([*odd, *usual])}"
    return f"{text}; not of numpy, scipy or scikit-learn: {_some(odd)}" if odd else text


def _is_usual(name: str) -> bool:
    module, _, rest = name.partition(".")
    if module in ("builtins", "__builtin__", "copyreg", "copy_reg"):
        return rest in _BUILTINS
    return module in _KNOWN


def _some(names: list[str]) -> str:
    shown = ", ".join(name[:100] for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


class _Scan:
    """The stack of an unpickler, of which only names and what sizes an array are kept."""

    def __init__(self, until: float) -> None:
        self.names: set[str] = set()
        self._until = until

    def read(self, file: _Bounded, *, nested: bool = False) -> None:
        """One pickle of `file`; what stands behind it is left."""
        stack: list[Any] = []
        memo: dict[int, Any] = {}
        for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], file))):
            if count % 1024 == 0 and time.monotonic() > self._until:
                return
            self._step(opcode, argument, stack, memo)
            top = stack[-1] if stack else None
            if opcode.name == "BUILD" and not nested and isinstance(top, _Made):
                self._skip_array(top, file)

    def _step(self, opcode: Any, given: Any, stack: list[Any], memo: dict[int, Any]) -> None:
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            given = given.replace(" ", ".", 1)
        if name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif "PUT" in name:
            memo[given] = stack[-1]
        elif "GET" in name:
            stack.append(memo.get(given))
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "MARK":
            stack.append(_Mark)
        else:
            self._apply(opcode, given, stack)

    def _apply(self, opcode: Any, given: Any, stack: list[Any]) -> None:
        taken = _taken(opcode, stack)
        name = opcode.name
        made: Any = given
        if name == "STACK_GLOBAL":
            made = ".".join(part if isinstance(part, str) else "?" for part in taken)
        elif name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST"):
            made = _Made(str(given if name == "INST" else taken[0]), taken[1:])
        elif name == "BUILD":
            made = taken[0]
            if isinstance(made, _Made) and isinstance(taken[1], dict):
                made.state = taken[1]
        elif name.startswith(("SETITEM", "APPEND", "ADDITEMS")):
            made = taken[0]
            if name.startswith("SETITEM") and isinstance(made, dict):
                made.update((k, v) for k, v in _pairs(taken[1:]) if isinstance(k, str))
        elif "TUPLE" in name:
            made = tuple(taken)
        elif "DICT" in name:
            made = {k: v for k, v in _pairs(taken) if isinstance(k, str)}
        if name in ("GLOBAL", "INST", "STACK_GLOBAL"):
            self.names.add(str(given if name == "INST" else made))
        stack.extend([made] * len(opcode.stack_after))

    def _skip_array(self, wrapper: _Made, file: _Bounded) -> None:
        """The bytes of an array that joblib wrote, or the pickle of one of objects."""
        state = wrapper.state
        if not wrapper.name.endswith(_WRAPPERS) and "numpy_array_alignment_bytes" not in state:
            return
        dtype = state.get("dtype")
        code = dtype.given[0][0] if isinstance(dtype, _Made) else ""
        found = _TYPE.fullmatch(code)
        if found is None or "shape" not in state:
            return
        if found[1] == "O":
            self.read(file, nested=True)
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            file.skip(file.read(1)[0])
        width = int(found[2]) * (4 if found[1] == "U" else 1)
        file.skip(width * math.prod(state["shape"]))


def _taken(opcode: Any, stack: list[Any]) -> list[Any]:
    """What `opcode` takes off the stack: what it says itself, down to a mark where it says so."""
    wanted = [part.name for part in opcode.stack_before]
    if "mark" not in wanted:
        taken = stack[len(stack) - len(wanted) :]
        del stack[len(stack) - len(wanted) :]
        return taken
    at = len(stack) - 1 - stack[::-1].index(_Mark)
    taken = stack[at + 1 :]
    below = wanted.index("mark")
    taken = stack[at - below : at] + taken
    del stack[at - below :]
    return taken


def _pairs(flat: list[Any]) -> zip[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=False)


def _opened(file: IO[bytes]) -> IO[bytes]:
    magic = file.read(2)
    file.seek(0)
    if magic[:1] == b"x" and magic[1:] and int.from_bytes(magic, "big") % 31 == 0:  # RFC 1950
        return io.BufferedReader(_Inflated(file))
    opener = _OPENERS.get(magic)
    return file if opener is None else cast(IO[bytes], opener(file))


class _Inflated(io.RawIOBase):
    """A zlib stream, decompressed a little at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflate = zlib.decompressobj()

    def readable(self) -> bool:
        """It is what it is for."""
        return True

    def readinto(self, buffer: Any) -> int:
        """At most as many bytes as `buffer` holds."""
        while not self._inflate.eof:
            more = self._inflate.unconsumed_tail or self._file.read(1 << 16)
            content = self._inflate.decompress(more, len(buffer))
            if content or not more:
                buffer[: len(content)] = content
                return len(content)
        return 0


class _Bounded:
    """A file of which `MAX_BYTES` may be read; then it ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MAX_BYTES

    def read(self, size: int) -> bytes:
        """As of a file; never all of it."""
        content = self._file.read(max(0, min(size, self._left)))
        self._left -= len(content)
        return content

    def readline(self) -> bytes:
        """As of a file."""
        content = self._file.readline(self._left)
        self._left -= len(content)
        return content

    def skip(self, size: int) -> None:
        """Leave out so many bytes."""
        while size > 0 and (content := self.read(min(size, 1 << 20))):
            size -= len(content)
