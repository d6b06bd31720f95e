"""A text for a language model: split in two, as numbers of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..text import BytePairs
from .files import data_error

SHARE = 0.9  # of the text, from its beginning, is for training
SUFFIXES = ".txt", ".md", ".rst", ".py", ".c", ".h"  # of what is read in a folder


@dataclass(frozen=True, eq=False)
class TextData:
    """train, test: numbers of tokens (N) and (M) of int64; test_bytes: how long the second is in UTF-8."""

    name: str
    tokens: BytePairs
    train: np.ndarray
    test: np.ndarray
    test_bytes: int


def load_text(spec: str, size: int, tokens: BytePairs | None = None) -> TextData:
    """The text that a spec names: text (this library's own source), text:FILE or text:DIR, whose files are joined in order.

    A vocabulary of at most `size` tokens is learned from the training part, unless `tokens` are given. DataError where a file is
    absent, no UTF-8, or too short to be split.
    """
    name, mark, place = spec.partition(":")
    if name != "text" or (mark and not place):
        raise data_error(f"{spec!r} is no text for a language model", expected="text, text:FILE or text:DIR")
    root = Path(place).expanduser() if place else Path(__file__).parents[1]
    text = "".join(read(path) for path in files(root))
    cut = text.rfind("\n", 0, int(SHARE * len(text))) + 1
    if not 0 < cut < len(text):
        raise data_error(f"{root}: {len(text)} characters", expected="some lines, of which the last tenth are the test")
    tokens = tokens or BytePairs.train(text[:cut], size)
    train, test = (np.array(tokens.encode(part), np.int64) for part in (text[:cut], text[cut:]))
    return TextData(root.name if place else "the library's source", tokens, train, test, len(text[cut:].encode()))


def files(root: Path) -> list[Path]:
    """A file itself, or the texts in a folder, by name."""
    if not root.is_dir():
        return [root]
    found = sorted(path for path in root.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    if not found:
        raise data_error(f"{root} holds no text", expected=f"files that end in {', '.join(SUFFIXES)}")
    return found


def read(path: Path) -> str:
    """A file's text. DataError where it cannot be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8: {error}") from None


def windows(tokens: np.ndarray, length: int, start: int = 0) -> Iterator[np.ndarray]:
    """Pieces of length + 1 tokens, each beginning with the last of the one before; the last is shorter, of two at least."""
    for at in range(start, len(tokens) - 1, length):
        yield tokens[at : at + length + 1]
