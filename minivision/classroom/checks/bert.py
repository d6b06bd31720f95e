"""BERT's parts: the longest piece that fits, three tables and a norm, who may be seen, what is hidden, what is asked."""

from __future__ import annotations

import math

import numpy as np

from ...models.bert import IGNORED
from ...tape import Tensor
from ..drivers.bert import WORDS, small
from ..expect import expect, expect_error, expect_parts, expect_that
from ..proxy import Student

State = dict[str, np.ndarray]


def weights(rng: np.random.Generator) -> State:
    """Random weights of the small BERT, norms about 1."""
    return {name: rng.normal(float("Norm.weight" in name), 0.5, value.shape) for name, value in small().state_dict().items()}


def greedy(student: Student, rng: np.random.Generator) -> None:
    """Words cut from left to right; one without a last piece, a longest piece that leads nowhere, words that are too long."""
    pieces = ["a", "ab", "abc", "##a", "##b", "##c", "##bc", "##cab", "d", "##d"]
    numbers = {piece: 3 + i for i, piece in enumerate(pieces)}
    drawn = ["".join(rng.choice(list("abcd"), size=length)) for length in (3, 6, 12)]
    for word in ["a", "abc", "abcab", "acab", "dabcd", "b", "bad", "abe", "", *drawn, "ab" * 50, "ab" * 50 + "a"]:
        rest = word
        found: list[int] = []
        while rest:
            fits = [each for each in pieces if each.startswith("##") == bool(found) and rest.startswith(each.removeprefix("##"))]
            best = max(fits, key=len, default="")
            if not best or len(word) > 100:
                found = [0]
                break
            found.append(numbers[best])
            rest = rest[len(best.removeprefix("##")) :]
        told = repr(word) if len(word) < 20 else f"a word of {len(word)} letters"
        expect(student.drive("bert:word", pieces, word), found, f"{told} in the pieces {' '.join(pieces)}, numbered from 3")
    expect(student.drive("bert:word", ["un", "una", "##able"], "unable"), [0], "'unable' in the pieces un una ##able: [UNK], 0")


def embeddings(student: Student, rng: np.random.Generator) -> None:
    """Token by token: three rows added, then mean and deviation taken off; with segments and without."""
    for batch, length in [(2, 5), (1, 1), (3, 7)]:
        w = weights(rng)
        tokens, segments = rng.integers(WORDS, size=(batch, length)), rng.integers(2, size=(batch, length))
        for parts in (segments, None):
            wanted = np.empty((batch, length, 8))
            for b, t in np.ndindex(batch, length):
                x = w["bert.embeddings.word_embeddings.weight"][tokens[b, t]] + w["bert.embeddings.position_embeddings.weight"][t]
                x = x + w["bert.embeddings.token_type_embeddings.weight"][0 if parts is None else parts[b, t]]
                x = (x - x.mean()) / math.sqrt(x.var() + 1e-12)
                wanted[b, t] = x * w["bert.embeddings.LayerNorm.weight"] + w["bert.embeddings.LayerNorm.bias"]
            told = "segments None" if parts is None else "segments 0 and 1"
            expect(student.drive("bert:embedded", w, tokens, parts), Tensor(wanted), f"tokens ({batch}, {length}), {told}")


def padding(student: Student, rng: np.random.Generator) -> None:
    """Each text alone and without padding, which needs no mask; padding behind it or in front of it is then nobody's business."""
    for lengths in [(7, 4, 1), (3, 5), (6,)]:
        w, T = weights(rng), max(lengths)
        model = small()
        model.load_state_dict(w)
        shape = len(lengths), T
        tokens, segments = rng.integers(WORDS, size=shape), rng.integers(2, size=shape)
        seen = np.arange(T) < np.array(lengths)[:, None]
        hidden, pooled = student.drive("bert:encoded", w, tokens, segments, seen)
        for b, n in enumerate(lengths):
            alone = model.bert(tokens[b : b + 1, :n], segments[b : b + 1, :n])
            told = f"text {b} of lengths {lengths} padded to {T}"
            expect(hidden[b, :n], alone.hidden.numpy()[0], f"hidden, the places that are no padding of {told}")
            expect(pooled[b], alone.pooled.numpy()[0], f"pooled of {told}")
        got = student.drive("bert:encoded", w, tokens, None, None)
        wanted = model.bert(tokens)
        expect(tuple(got), (wanted.hidden.numpy(), wanted.pooled.numpy()), f"hidden, pooled of {shape}, segments and seen None")


def masking(student: Student, rng: np.random.Generator) -> None:
    """How many of each text, which never, what they are read as, in shares of thousands; labels there and nowhere else."""
    pad, start, end, mask, size = 0, 1, 2, 3, 14
    for lengths, share in [((40,) * 400, 0.15), ((1, 0, 3, 7, 10, 2), 0.15), ((5, 8), 1.0), ((6, 9, 20), 0.5)]:
        T = max(lengths) + 3
        tokens = np.full((len(lengths), T), pad)
        for row, n in zip(tokens, lengths, strict=True):
            row[: n + 3] = [start, *rng.integers(4, size, n), end, mask]
        seed = int(rng.integers(2**31))
        answer = student.drive("bert:hidden", tokens, seed, mask, size, [pad, start, end], share)
        read, labels = expect_parts(answer, "read labels")
        told = f"of texts with {'40' if len(lengths) > 9 else lengths} ordinary tokens and one [MASK], share {share}"
        for each, name in ((read, "read"), (labels, "labels")):
            fits = isinstance(each, np.ndarray) and each.shape == tokens.shape
            expect_that(fits, f"{name} {told}", f"an array of shape {tokens.shape}", each)
        chosen = labels != IGNORED
        wanted = [0 if n == 0 else max(1, round(share * n)) for n in lengths]
        expect(list(map(int, chosen.sum(1))), wanted, f"how many are chosen, {told}")
        expect(labels, np.where(chosen, tokens, IGNORED), f"labels {told}")
        expect_that(not chosen[tokens < 4].any(), f"special tokens {told}", "never chosen", "some were")
        expect(read[~chosen], tokens[~chosen], f"what is read where nothing is chosen, {told}")
        if len(lengths) < 9:
            continue
        before, now = tokens[chosen], read[chosen]
        changed = now[(now != mask) & (now != before)]
        expect_that(not np.isin(changed, [pad, start, end, mask]).any(), "words that are drawn", "ordinary ones", "special ones")
        again = 0.1 / (size - 4)  # what is drawn may be what stood there
        fates = {"as the mask": (now == mask, 0.8), "as they are": (now == before, 0.1 + again),
                 "as another": ((now != mask) & (now != before), 0.1 - again)}  # fmt: skip
        for name, (those, p) in fates.items():
            found, spread = float(np.mean(those)), 5.5 * math.sqrt(p * (1 - p) / len(now))
            label = f"the share of {len(now)} chosen tokens that is read {name}"
            expect_that(abs(found - p) < spread, label, f"{p:.3f}, give or take {spread:.3f}", f"{found:.3f}")
        places = chosen[:, 1:41].mean(0)
        told = f"{places.min():.2f} to {places.max():.2f} of the texts"
        expect_that(bool(np.ptp(places) < 0.25), "how often each of 40 places is chosen", "alike", told)


def loss(student: Student, rng: np.random.Generator) -> None:
    """-log p of each label that is none of IGNORED, one by one; nothing asked is an error."""
    for shape, count in [((2, 6), 3), ((1, 4), 1), ((3, 2), 6), ((5,), 2)]:
        logits, labels = rng.normal(0, 2, (*shape, 7)), np.full(shape, IGNORED)
        places = rng.permutation(labels.size)[:count]
        labels.reshape(-1)[places] = rng.integers(7, size=count)
        asked = zip(logits.reshape(-1, 7)[places], labels.reshape(-1)[places], strict=True)
        costs = [math.log(sum(map(math.exp, row))) - row[label] for row, label in asked]
        label = f"the loss of logits {logits.shape}, {count} of {labels.size} with a label"
        expect(student(Tensor(logits), labels), Tensor(np.array(sum(costs) / count)), label)
    expect_error(lambda: student(Tensor(logits), np.full(shape, IGNORED)), ValueError, "labels that are all IGNORED")
