"""Writes several files so that a failure changes none of them."""

from collections.abc import Mapping
from pathlib import Path


def write_all(texts: Mapping[Path, str]) -> None:
    """Write all these files or, if one of them can't be written, none.

    Args:
        texts: The new text of each file, which exists.
    """
    before = {file: file.read_bytes() for file in texts}
    try:
        for file, text in texts.items():
            file.write_text(text)
    except BaseException:
        for file, content in before.items():
            file.write_bytes(content)
        raise
