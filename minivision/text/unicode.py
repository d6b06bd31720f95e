"""Kinds of characters, by Unicode's general categories, as classes for regular expressions."""

from __future__ import annotations

import functools
import re
import sys
import unicodedata


@functools.cache
def character_class(*categories: str) -> str:
    """The inside of a regular expression's [...]: all characters whose category begins with one of these, such as "L"."""
    inside = [unicodedata.category(chr(code)).startswith(categories) for code in range(sys.maxunicode + 1)]
    edges = [code for code in range(1, len(inside)) if inside[code] != inside[code - 1]]
    if inside[0]:
        edges.insert(0, 0)
    if len(edges) % 2:
        edges.append(len(inside))
    spans = zip(edges[::2], edges[1::2], strict=True)
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(end - 1))}" for first, end in spans)


def check_text(text: str) -> None:
    """ValueError where a text has half of a surrogate pair, which no UTF-8 file and no vocabulary can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        hint = 'text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") pairs halves and replaces lone ones'
        raise ValueError(
            f"character {error.start} of the text, U+{code:04X}, is half of a surrogate pair\n  hint: {hint}"
        ) from None
