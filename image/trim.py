"""Take away what no model needs to be served: `python trim.py`, for the Python that runs it.

Only of the locked packages, which the tests have seen without it; what a user adds is left whole.
"""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

NEEDLESS = (
    # Packages' own tests; what they offer to others' tests is in modules of other names.
    "*/tests",
    "*/*/tests",
    "*/*/*/tests",
    "*/*/*/*/tests",
    "joblib/test",
    # What type checkers and compilers read. numpy and scipy find none of it at run time.
    "**/*.pyi",
    "**/*.pxd",
    "**/*.pyx",
    "**/*.a",
    "numpy/_core/include",
    # The source of the parser that lies beside it as a library.
    "simdjson/*.cpp",
    "simdjson/*.h",
    # For programs in other languages; Python's module has it all in itself.
    "onnxruntime/capi/libonnxruntime.so*",
    # What trains, converts and profiles ONNX models, by libraries that are not here.
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
)


def main() -> None:
    """Print what it came to."""
    libraries = Path(sysconfig.get_path("purelib"))
    freed = 0
    for pattern in NEEDLESS:
        for path in sorted(libraries.glob(pattern)):
            if path.is_dir():
                freed += sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
                shutil.rmtree(path)
            else:
                freed += path.stat().st_size
                path.unlink()
    print(f"trimmed {freed / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
