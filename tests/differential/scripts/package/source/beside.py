"""Found on the import path, though it is not in the folder of the script."""

WORD = "found"
