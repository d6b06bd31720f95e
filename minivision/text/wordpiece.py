"""WordPiece: words cut into the longest pieces that a vocabulary has, from left to right.

Schuster, Nakajima 2012; as BERT uses it (Devlin et al. 2019, arXiv 1810.04805, section 3): text is cleaned, set in lower case
without accents, cut at spaces and around punctuation and Chinese characters; pieces inside a word begin with ##.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from .unicode import character_class, check_text

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST = 100  # characters of a word; longer ones are unknown
# CJK's blocks as the `tokenizers` library has them: Google's first code has U+2B820 to U+2B91F too
CHINESE = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b81f\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f"
)
SPACES = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # Unicode's White_Space


@functools.cache
def words_pattern() -> re.Pattern[str]:
    """A sign alone, or as much as there is without spaces and signs. Signs are punctuation, and ASCII's symbols."""
    signs = rf"!-/:-@\[-`{{-~{character_class('P')}"
    return re.compile(f"[{signs}]|[^{SPACES}{signs}]+")


@functools.cache
def invisible_pattern() -> re.Pattern[str]:
    """What cleaning takes out: control, format and private characters but for tab and line ends; U+FFFD."""
    kept = character_class("Cc", "Cf", "Co")
    return re.compile(rf"(?![\t\n\r])[{kept}\ufffd]")


class Batch(NamedTuple):
    """What BERT reads, each (B, T): the pieces' numbers; 0 in the first text, 1 in the second; False at padding."""

    tokens: np.ndarray
    segments: np.ndarray
    seen: np.ndarray


def shortened(first: int, second: int, room: int) -> tuple[int, int]:
    """How much stays of two lengths so that both fit into `room`: the longer gives, one by one, the first once they are equal."""
    short = min(first, second, room // 2)
    long = min(max(first, second), room - short)
    return (long, short) if first > second else (short, long)


class WordPiece:
    """A vocabulary {piece: number} with the special pieces [UNK], [CLS] and [SEP]; lower: without capitals and accents."""

    def __init__(self, vocabulary: Mapping[str, int], lower: bool = True) -> None:
        self.vocabulary, self.lower = dict(vocabulary), lower
        self.pieces = {number: piece for piece, number in self.vocabulary.items()}
        if absent := [name for name in ("[UNK]", "[CLS]", "[SEP]") if name not in self.vocabulary]:
            raise DataError(f"vocabulary: {', '.join(absent)} are not in it; is it one of BERT's?")
        if len(self.pieces) != len(self.vocabulary):
            raise DataError("vocabulary: two pieces have the same number")

    def __len__(self) -> int:
        return len(self.vocabulary)

    @classmethod
    def load(cls, path: str | Path, lower: bool = True) -> WordPiece:
        """From a vocab.txt of one piece a line, numbered from 0. DataError where it is none."""
        try:
            lines = Path(path).read_text("utf-8").split("\n")
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}") from None
        return cls({piece: number for number, piece in enumerate(lines[:-1] if lines[-1] == "" else lines)}, lower)

    def words(self, text: str) -> list[str]:
        """A cleaned text's words and signs."""
        text = invisible_pattern().sub("", text)
        text = re.sub(f"([{CHINESE}])", r" \1 ", text)
        if self.lower:
            text = "".join(each for each in unicodedata.normalize("NFD", text) if unicodedata.category(each) != "Mn")
            text = "".join(each.lower() for each in text)  # one by one: a sigma that ends a word is a sigma like others
        return words_pattern().findall(text)

    def encode(self, text: str) -> list[int]:
        """A text as numbers of pieces, without [CLS] and [SEP]. ValueError for half of a surrogate pair."""
        check_text(text)
        return [number for word in self.words(text) for number in self._word(word)]

    def pair(self, first: str, second: str | None = None, longest: int | None = None) -> tuple[list[int], list[int]]:
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP], as numbers; and for each 0 or 1, the part that it is in.

        longest: how many numbers there may be. [CLS] and [SEP] stay; the longer text loses from its end until it is no longer
        than the other, then the first and the second in turn. ValueError where [CLS] and [SEP] alone are too many.
        """
        start, end = self.vocabulary["[CLS]"], self.vocabulary["[SEP]"]
        a, b = self.encode(first), [] if second is None else self.encode(second)
        if longest is not None:
            signs = 2 if second is None else 3
            if longest < signs:
                raise ValueError(f"longest is at least {signs}, for [CLS] and [SEP], got {longest}")
            m, n = shortened(len(a), len(b), longest - signs)
            a, b = a[:m], b[:n]
        a, b = [start, *a, end], [] if second is None else [*b, end]
        return a + b, [0] * len(a) + [1] * len(b)

    def batch(self, texts: Sequence[str | tuple[str, str | None]], longest: int | None = None) -> Batch:
        """Texts, or pairs of texts (first, second), each as `pair` writes it: (tokens, segments, seen), arrays (B, T).

        T is the longest text's length; behind shorter ones stand [PAD], segment 0, seen False. BERT reads them as model(*batch).
        longest: T is at most that, see `pair`. DataError without [PAD] in the vocabulary.
        """
        if isinstance(texts, str):
            raise TypeError("texts is a list, got one text; [text] is a list of it")
        if "[PAD]" not in self.vocabulary:
            raise DataError("vocabulary: [PAD] is not in it; is it one of BERT's?")
        pairs = [(text, None) if isinstance(text, str) else text for text in texts]
        rows = [self.pair(first, second, longest) for first, second in pairs]
        shape = len(rows), max((len(numbers) for numbers, _ in rows), default=0)
        made = Batch(np.full(shape, self.vocabulary["[PAD]"]), np.zeros(shape, np.int64), np.zeros(shape, bool))
        for i, (numbers, parts) in enumerate(rows):
            made.tokens[i, : len(numbers)], made.segments[i, : len(numbers)], made.seen[i, : len(numbers)] = numbers, parts, True
        return made

    def _word(self, word: str) -> list[int]:
        """Always the longest piece that fits; [UNK] for the whole word where none does, or where it is longer than LONGEST."""
        found, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1) if len(word) <= LONGEST else ()
            end = next((end for end in ends if prefix + word[start:end] in self.vocabulary), None)
            if end is None:
                return [self.vocabulary["[UNK]"]]
            found.append(self.vocabulary[prefix + word[start:end]])
            start = end
        return found

    def decode(self, numbers: Iterable[int]) -> str:
        """Pieces as text: those inside a word follow without a space, special ones but [UNK] are left out."""
        named = set(SPECIAL) - {"[UNK]"}
        pieces = []
        for number in map(int, numbers):
            if number not in self.pieces:
                raise ValueError(f"there is no piece {number}: the vocabulary has {len(self)}")
            pieces.append(self.pieces[number])
        return " ".join(piece for piece in pieces if piece not in named).replace(" ##", "")
