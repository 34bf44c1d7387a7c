"""Files of joblib, pickle and skops: what is in them, or why it cannot be had here."""

from __future__ import annotations

import importlib.metadata
import logging
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import joblib
from sklearn.exceptions import InconsistentVersionWarning

from app import opcodes
from app.errors import ModelInvalid
from app.manifest import Manifest
from app.manifest.requirements import agree
from app.runtimes import catching_warnings

logger = logging.getLogger(__name__)

_ZIP: Final = b"PK\x03\x04"
"""How a file of skops begins, whatever it is called."""

_NO_CLASS: Final = (
    re.compile(r"Can't get attribute '(?P<name>.+?)' on <module '(?P<module>.+?)'"),
    re.compile(r"module '(?P<module>.+?)' has no attribute '(?P<name>.+?)'"),
)
"""What pickle says of a name that its module has not, by protocol 4 and before it."""


def unpickled(manifest: Manifest, untrusted: str) -> Any:
    """The object in the model file; packages that differ from those at training are warned about.

    Args:
        untrusted: why nothing may be imported that could do harm; empty: it may.

    Raises:
        ModelInvalid: it may not, or cannot, be read; the text names the module, class or versions
            at fault.
    """
    read = _reader(manifest.file, untrusted)
    if not untrusted:
        _find_code(manifest)
    with catching_warnings, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = read(manifest.file)
        except (Exception, SystemExit) as error:  # unpickling runs any code and raises anything
            skew = _skew(caught)
            hint = f"; it {skew}" if skew else ""
            raise ModelInvalid(f"{manifest.file.name} {_problem(error)}{hint}") from error
    skew = _skew(caught)
    if skew:
        logger.warning("%s %s", manifest.file.name, skew)
    _compare(manifest, ("numpy", "pandas") if skew else ("scikit-learn", "numpy", "pandas"))
    return found


def _reader(file: Path, untrusted: str) -> Callable[[Path], Any]:
    with file.open("rb") as opened:
        is_skops = opened.read(len(_ZIP)) == _ZIP
    if is_skops:
        return _skops(file, untrusted)
    if untrusted:
        would = opcodes.told(file)
        raise ModelInvalid(f"{file.name} is a pickle, which is code: {untrusted} ({would})")
    reader: Callable[[Path], Any] = joblib.load
    return reader


def _find_code(manifest: Manifest) -> None:
    """Let the modules be found that were saved with an MLflow model; installed ones go first."""
    code = None if manifest.mlmodel is None else manifest.mlmodel.code
    if code is not None and str(code) not in sys.path:
        sys.path.append(str(code))


def _skops(file: Path, untrusted: str) -> Callable[[Path], Any]:
    """Every type in a skops file is named before it is imported."""
    import skops.io  # only such files pay for it

    try:
        types = skops.io.get_untrusted_types(file=file)
    except Exception as error:  # of a broken file it raises anything
        raise ModelInvalid(f"{file.name} is no skops file: is it complete?") from error
    if untrusted and types:
        raise ModelInvalid(
            f"{file.name} holds types that skops does not trust: {', '.join(types)}: {untrusted}"
        )
    return lambda path: skops.io.load(path, trusted=types)


def _problem(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"needs the module {error.name!r}, which is not installed here"
    for pattern in _NO_CLASS if isinstance(error, AttributeError) else ():
        missing = pattern.search(str(error))
        if missing:
            return (
                f"needs {missing['name']!r} of the module {missing['module']!r}, which is not "
                "there; define it in a package that is installed where the model is served"
            )
    return f"cannot be unpickled ({type(error).__name__}): is it complete?"


def _skew(caught: list[warnings.WarningMessage]) -> str:
    """Of scikit-learn's version, as its estimators noticed; empty when there is none."""
    for warning in caught:
        found = warning.message
        if isinstance(found, InconsistentVersionWarning):
            saved, here = found.original_sklearn_version, found.current_sklearn_version
            return f"was saved by scikit-learn {saved} and is served by {here}"
    return ""


def _compare(manifest: Manifest, packages: tuple[str, ...]) -> None:
    """Warn of packages that the training environment had in another version."""
    for package in packages:
        trained = manifest.requirements.get(package)
        here = importlib.metadata.version(package)
        if trained is not None and not agree(trained, here):
            logger.warning(
                "%s was trained with %s %s, here is %s", manifest.file.name, package, trained, here
            )
