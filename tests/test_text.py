"""Text as numbers: the tokenisers against the `tokenizers` library on random strings, files, and what has no number."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tokenizers

import minivision as mv
from minivision.errors import DataError
from minivision.text import BytePairs, WordPiece
from minivision.text.bpe import byte_letters, merge_all

STRINGS = 10_000
POOLS = [
    "abcdefghij KLMNO  \n\t'",
    "0123456789.,;:!?-_()[]{}<>@#$%^&*+=/\\|`~\"'", "éàüñçøßÅΣσςİıĳﬁ",
    "\u0300\u0301\u0308\u20dd\u0e31\u0948",
    "😀👨\u200d👩\u200d👧🏳\ufe0f🇩🇪✈\ufe0f", "你好世界日本語ひらがなカタカナ한국어",
    "\x00\x01\x1f\x7f\x85\xa0\u200b\u200d\u2028\u3000\ufeff\ufffd",
    "²½Ⅷ①٣४৪", "\u1680\u2003\xad\u061c\ue000\U000f0000\U0010ffff",
]  # fmt: skip
WORDS = ["hello", "the world", " quick", " unbelievable", "  ", "\r\n", "'s", "I've", "don't"]
TEXT = "".join(Path(__file__).parents[1].joinpath(name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md"))


def strings(count: int) -> list[str]:
    """Random ones: scripts, emoji, marks, NUL, any character that all versions of Unicode since 3.2 know."""
    rng = random.Random(0)

    def part() -> str:
        lot = rng.random()
        if lot < 0.7:
            pool = rng.choice(POOLS)
            return "".join(rng.choice(pool) for _ in range(rng.randrange(1, 8)))
        if lot < 0.9:
            return rng.choice(WORDS)
        while unicodedata.ucd_3_2_0.category(each := chr(rng.randrange(0x110000))) in ("Cn", "Cs"):
            pass
        return each

    return ["".join(part() for _ in range(rng.randrange(12))) for _ in range(count)]


@pytest.fixture(scope="module")
def pairs() -> BytePairs:
    return BytePairs.train(TEXT, 800)


def test_byte_pairs_are_those_of_the_library(pairs: BytePairs, tmp_path: Path) -> None:
    pairs.save(tmp_path / "vocab.json", tmp_path / "merges.txt")
    model = tokenizers.models.BPE.from_file(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    oracle = tokenizers.Tokenizer(model)
    oracle.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    oracle.add_special_tokens(["<|endoftext|>"])
    texts = strings(STRINGS)
    texts[::7] = [f"{text}<|endoftext|>{text[::-1]}" for text in texts[::7]]
    for text in texts:
        found = pairs.encode(text)
        assert found == oracle.encode(text).ids, text
        assert pairs.decode(found) == text


def word_pieces(lower: bool) -> tuple[WordPiece, tokenizers.Tokenizer]:
    """A vocabulary of letters and a few pieces, and the library's tokeniser of it."""
    letters = [*map(chr, range(33, 127)), *"éüςσßıäå你好世国²½①😀"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{each}" for each in letters)]
    pieces += ["hello", "the", "world", "un", "##believ", "##able", "quick", "##ing"]
    own = WordPiece({piece: number for number, piece in enumerate(pieces)}, lower)
    oracle = tokenizers.Tokenizer(tokenizers.models.WordPiece(own.vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    oracle.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lower)
    oracle.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return own, oracle


@pytest.mark.parametrize("lower", [True, False])
def test_word_pieces_are_those_of_the_library(lower: bool) -> None:
    own, oracle = word_pieces(lower)
    for text in [*strings(STRINGS), "a" * 100, "a" * 101]:
        assert own.encode(text) == oracle.encode(text).ids, text


@pytest.mark.parametrize("text", ["\ud800", "a\udc00b", "😀\udfff"])
def test_half_of_a_pair_is_refused_by_all(pairs: BytePairs, text: str) -> None:
    for encode in (pairs.encode, WordPiece({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}).encode):
        with pytest.raises(ValueError, match=r"is half of a surrogate pair"):
            encode(text)


def test_any_bytes_can_be_written(pairs: BytePairs) -> None:
    number = [pairs.vocabulary[letter] for letter in byte_letters()]
    assert pairs.decode_bytes(number) == bytes(range(256))
    assert pairs.decode(pairs.encode("é")[:1] if len(pairs.encode("é")) > 1 else [number[0xC3]]) == "\ufffd"


def test_merges_go_by_rank_and_from_left_to_right() -> None:
    ranks = {("a", "a"): 0, ("aa", "b"): 1, ("b", "aa"): 2}
    assert merge_all(list("aaab"), ranks) == ["aa", "a", "b"]
    assert merge_all(list("baab"), ranks) == ["b", "aab"]
    assert merge_all(["a"], ranks) == ["a"]


def test_training_merges_the_most_frequent_pair_first() -> None:
    found = BytePairs.train("ab ab ab abc abc bc bc bc", 256 + 1 + 2)
    assert list(found.ranks) == [("a", "b"), ("Ġ", "ab")]
    assert len(found) == 259
    assert BytePairs.train("abcd", 300).ranks == {}  # no pair occurs twice
    with pytest.raises(ValueError, match="at least 257, got 200"):
        BytePairs.train("text", 200)


def test_training_says_the_same_each_time(pairs: BytePairs) -> None:
    assert list(BytePairs.train(TEXT, 800).ranks) == list(pairs.ranks)


def test_files_come_back(pairs: BytePairs, tmp_path: Path) -> None:
    files = tmp_path / "vocab.json", tmp_path / "merges.txt"
    pairs.save(*files)
    again = BytePairs.load(*files)
    assert (again.vocabulary, again.ranks, again.special) == (pairs.vocabulary, pairs.ranks, pairs.special)
    assert again.encode("a<|endoftext|>")[-1] == 799


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        ("[1, 2]", "", "is no vocabulary"), ('{"a": "x"}', "", "is no vocabulary"), ("{", "", "is no vocabulary"),
        ('{"a": 0}', "", "255 bytes or merged tokens are not in it"), (None, "a b c", "two tokens with a space"),
        (None, "zz qq", "1 bytes or merged tokens are not in it, such as 'zzqq'"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, vocabulary: str | None, merges: str, message: str) -> None:
    files = tmp_path / "vocab.json", tmp_path / "merges.txt"
    BytePairs.train("", 257).save(*files)
    if vocabulary is not None:
        files[0].write_text(vocabulary, "utf-8")
    if merges:
        files[1].write_text(merges, "utf-8")
    with pytest.raises(DataError, match=message):
        BytePairs.load(*files)


def test_a_pair_of_sentences_for_bert(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##able\nhe\n", "utf-8")
    found = WordPiece.load(tmp_path / "vocab.txt")
    assert found.pair("Unable", "hé he?") == ([2, 4, 5, 3, 6, 6, 1, 3], [0, 0, 0, 0, 1, 1, 1, 1])
    assert found.pair("he") == ([2, 6, 3], [0, 0, 0])
    assert found.decode([2, 4, 5, 6, 1, 3]) == "unable he [UNK]"
    with pytest.raises(DataError, match=r"\[UNK\], \[SEP\] are not in it"):
        WordPiece({"[CLS]": 0})
    with pytest.raises(DataError, match="cannot be read"):
        WordPiece.load(tmp_path / "nowhere.txt")
    with pytest.raises(ValueError, match="no piece 99"):
        found.decode([99])


def test_batches_are_those_of_the_library() -> None:
    """Texts and pairs, whole or cut to a length, padded: numbers, segments and what is seen."""
    own, oracle = word_pieces(True)
    end, start = (("[SEP]", own.vocabulary["[SEP]"]), ("[CLS]", own.vocabulary["[CLS]"]))
    oracle.post_processor = tokenizers.processors.BertProcessing(end, start)
    oracle.enable_padding(pad_id=own.vocabulary["[PAD]"], pad_token="[PAD]")
    texts, rng = strings(600), random.Random(1)
    for longest in [None, 3, 4, 5, 8, 9, 16, 33]:
        oracle.no_truncation()
        if longest is not None:
            oracle.enable_truncation(longest, strategy="longest_first")
        for size in (1, 7, 30):
            some = [rng.choice(texts) if rng.random() < 0.3 else (rng.choice(texts), rng.choice(texts)) for _ in range(size)]
            found, wanted = own.batch(some, longest), oracle.encode_batch(some)
            for array, name in zip(found, ("ids", "type_ids", "attention_mask"), strict=True):
                np.testing.assert_array_equal(array, [getattr(each, name) for each in wanted], f"{name} of {some} in {longest}")
                assert [array.dtype for array in found] == [np.int64, np.int64, bool]


def test_a_batch_goes_into_the_model_as_it_is() -> None:
    """Texts of unlike lengths together, or each alone: the same."""
    own, _ = word_pieces(True)
    model = mv.create_model("bert_tiny").double().eval()
    texts = ["hello", ("hello the world", "unbelievable"), ("", ""), ("quick", None)]
    together = model(*own.batch(texts))
    for i, text in enumerate(texts):
        alone = own.batch([text])
        assert alone.seen.all()
        np.testing.assert_allclose(model(*alone).nsp.numpy()[0], together.nsp.numpy()[i], rtol=0, atol=1e-12)
        T = alone.tokens.shape[1]
        np.testing.assert_allclose(model(*alone).mlm.numpy()[0], together.mlm.numpy()[i, :T], rtol=0, atol=1e-12)


def test_what_no_batch_can_be_made_of() -> None:
    own, _ = word_pieces(True)
    assert [each.shape for each in own.batch([])] == [(0, 0)] * 3
    assert own.pair("hello the world", longest=2) == own.pair("")
    with pytest.raises(ValueError, match=r"longest is at least 2, .*, got 1"):
        own.batch(["hello"], longest=1)
    with pytest.raises(ValueError, match=r"longest is at least 3, .*, got 2"):
        own.batch(["hello", ("hello", "world")], longest=2)
    with pytest.raises(TypeError, match="got one text"):
        own.batch("hello")
    with pytest.raises(DataError, match=r"\[PAD\] is not in it"):
        WordPiece({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}).batch(["hello"])
