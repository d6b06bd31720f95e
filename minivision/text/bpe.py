"""Byte-level byte-pair encoding: a text's bytes, the pairs that are frequent merged again and again.

Sennrich, Haddow, Birch 2016 (arXiv 1508.07909) for the merges; Radford et al. 2019 (GPT-2), section 2.2, for the bytes: 256 of
them can write any text, so that nothing is unknown. Pieces that no merge crosses (words with the space before them, numbers,
punctuation) are cut out first.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from ..errors import DataError
from .unicode import character_class, check_text

Pair = tuple[str, str]


@functools.cache
def byte_letters() -> tuple[str, ...]:
    """How vocabulary files write each byte: as its own character where that is seen, else as one of those from U+0100 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return tuple(chr(byte) if byte in seen else chr(next(hidden)) for byte in range(256))


@functools.cache
def pieces_pattern() -> re.Pattern[str]:
    """English endings, words, numbers, other signs, each with a space before it; spaces, the last of them with what follows."""
    letters, digits = character_class("L"), character_class("N")
    space = r"\t-\r\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # Unicode's White_Space
    words = f" ?[{letters}]+| ?[{digits}]+| ?[^{space}{letters}{digits}]+"
    return re.compile(f"'s|'t|'re|'ve|'m|'ll|'d|{words}|[{space}]+(?![^{space}])|[{space}]+")


class BytePairs:
    """A vocabulary of byte strings and the merges that make them.

    vocabulary: {token: number}, tokens written in byte_letters; merges: pairs of tokens, the first to be merged first.
    special: {text: number} of tokens that stand for themselves, such as "<|endoftext|>", and are found in a text as they are.
    """

    def __init__(self, vocabulary: Mapping[str, int], merges: Sequence[Pair], special: Mapping[str, int] | None = None) -> None:
        self.vocabulary, self.special = dict(vocabulary), dict(special or {})
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.tokens = {number: token for token, number in self.vocabulary.items()}
        self._bytes = {letter: byte for byte, letter in enumerate(byte_letters())}
        self._pieces: dict[str, tuple[int, ...]] = {}  # what was encoded before
        self._check()

    def _check(self) -> None:
        if len(self.tokens) != len(self.vocabulary):
            raise DataError("vocabulary: two tokens have the same number")
        absent = [letter for letter in byte_letters() if letter not in self.vocabulary]
        absent += [a + b for a, b in self.ranks if a + b not in self.vocabulary]
        if absent:
            raise DataError(f"vocabulary: {len(absent)} bytes or merged tokens are not in it, such as {absent[0]!r}")

    def __len__(self) -> int:
        return len(self.vocabulary | self.special)

    def encode(self, text: str) -> list[int]:
        """A text as numbers of tokens. ValueError for half of a surrogate pair."""
        check_text(text)
        if not self.special:
            return self._ordinary(text)
        found = re.split(f"({'|'.join(map(re.escape, sorted(self.special, key=len, reverse=True)))})", text)
        return [n for i, part in enumerate(found) for n in ([self.special[part]] if i % 2 else self._ordinary(part))]

    def _ordinary(self, text: str) -> list[int]:
        return [number for piece in pieces_pattern().findall(text) for number in self._piece(piece)]

    def _piece(self, piece: str) -> tuple[int, ...]:
        if piece not in self._pieces:
            letters = byte_letters()
            word = merge_all([letters[byte] for byte in piece.encode()], self.ranks)
            self._pieces[piece] = tuple(self.vocabulary[token] for token in word)
        return self._pieces[piece]

    def decode_bytes(self, numbers: Iterable[int]) -> bytes:
        """The bytes that some tokens stand for. ValueError for a number without a token."""
        named = {number: text for text, number in self.special.items()}
        found = bytearray()
        for number in map(int, numbers):
            if number in named:
                found += named[number].encode()
            elif number in self.tokens:
                found += bytes(self._bytes[letter] for letter in self.tokens[number])
            else:
                raise ValueError(f"there is no token {number}: the vocabulary has {len(self)}")
        return bytes(found)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of some tokens; bytes that are no UTF-8, as in half of a character, become U+FFFD."""
        return self.decode_bytes(numbers).decode(errors="replace")

    # ------------------------------------------------------------------------------------------------------------ files

    @classmethod
    def load(cls, vocabulary: str | Path, merges: str | Path, special: Sequence[str] = ("<|endoftext|>",)) -> BytePairs:
        """From GPT-2's files: vocab.json and merges.txt. Entries of the vocabulary that are in `special` stand for themselves.

        DataError where a file cannot be read as one of these.
        """
        try:
            table = {str(token): int(number) for token, number in json.loads(Path(vocabulary).read_text("utf-8")).items()}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise DataError(f"{vocabulary} is no vocabulary of tokens and numbers: {error}") from None
        try:
            lines = Path(merges).read_text("utf-8").split("\n")
        except (OSError, ValueError) as error:
            raise DataError(f"{merges} cannot be read: {error}") from None
        pairs: list[Pair] = []
        for line in (each for each in lines if each and not each.startswith("#version")):
            first, *others = line.split(" ")
            if len(others) != 1:
                raise DataError(f"{merges}: a line has two tokens with a space between them, got {line!r}")
            pairs.append((first, others[0]))
        named = {token: table.pop(token) for token in special if token in table}
        return cls(table, pairs, named)

    def texts(self) -> tuple[str, str]:
        """The contents of GPT-2's two files."""
        table = json.dumps(self.vocabulary | self.special, ensure_ascii=False)
        return table, "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in self.ranks)

    def save(self, vocabulary: str | Path, merges: str | Path) -> None:
        """As GPT-2's files."""
        for path, text in zip((vocabulary, merges), self.texts(), strict=True):
            Path(path).write_text(text, "utf-8")

    # --------------------------------------------------------------------------------------------------------- training

    @classmethod
    def train(cls, text: str, size: int, special: Sequence[str] = ("<|endoftext|>",)) -> BytePairs:
        """Learns merges from a text until the vocabulary has `size` tokens or no pair occurs twice.

        The most frequent pair is merged; of equally frequent ones, the one whose tokens have the smaller numbers.
        """
        letters = byte_letters()
        if size < len(letters) + len(special):
            raise ValueError(
                f"size counts 256 bytes and {len(special)} special tokens: at least {256 + len(special)}, got {size}"
            )
        check_text(text)
        table = {letter: number for number, letter in enumerate(sorted(letters))}
        merges = learn(Counter(pieces_pattern().findall(text)), table, size - len(special))
        return cls(table, merges, {name: len(table) + i for i, name in enumerate(special)})


def merge_all(word: list[str], ranks: Mapping[Pair, int]) -> list[str]:
    """Merges the pair of the lowest rank, everywhere in the word, until no pair has one."""
    while len(word) > 1:
        best = min(pairwise(word), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        word = merged(word, best)
    return word


def merged(word: list[str], pair: Pair) -> list[str]:
    """Every occurrence of the pair as one token, from left to right."""
    found: list[str] = []
    i = 0
    while i < len(word):
        whole = tuple(word[i : i + 2]) == pair
        found.append(word[i] + word[i + 1] if whole else word[i])
        i += 1 + whole
    return found


def learn(pieces: Mapping[str, int], table: dict[str, int], size: int) -> list[Pair]:
    """The merges that frequent pieces give, and their tokens put into `table`, until it has `size`.

    pieces: {piece: how often it occurs}. Counts of pairs are kept up to date: a merge changes only the words that have the pair.
    """
    letters, merges = byte_letters(), []
    words = [[letters[byte] for byte in piece.encode()] for piece in pieces]
    times = list(pieces.values())
    counts: Counter[Pair] = Counter()
    places: dict[Pair, set[int]] = {}
    for i, word in enumerate(words):
        _count(word, i, times[i], counts, places)
    while len(table) < size and counts:
        best = max(counts, key=lambda pair: (counts[pair], -table[pair[0]], -table[pair[1]]))
        if counts[best] < 2:
            break
        merges.append(best)
        table.setdefault("".join(best), len(table))
        for i in places.pop(best):
            _count(words[i], i, -times[i], counts, places)
            words[i] = merged(words[i], best)
            _count(words[i], i, times[i], counts, places)
        counts.pop(best, None)
    return merges


def _count(word: list[str], i: int, times: int, counts: Counter[Pair], places: dict[Pair, set[int]]) -> None:
    """Adds (or takes away) the pairs of word number i, which occurs so many times."""
    for pair in pairwise(word):
        counts[pair] += times
        if times > 0:
            places.setdefault(pair, set()).add(i)
        elif counts[pair] <= 0:
            del counts[pair]
