"""Training a language model: pieces of a text in place of images, bits per byte in place of right answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..data.texts import TextData, load_text, windows
from ..errors import SettingError, about_settings
from ..generate import generate
from ..models import create_model, entry, list_models
from ..recording import no_grad
from ..text import BytePairs
from . import folder, initial
from .config import TextConfig
from .tally import Tally
from .trainer import Trainer, checksum

SAMPLES, SAMPLE = 3, 200  # texts that a finished run writes, tokens of each


class TextTrainer(Trainer):
    """One run of a TextConfig. An epoch is every piece of the training text once, from a place that is drawn, in random order."""

    unit: ClassVar[str] = "tokens"
    config: TextConfig
    data: TextData

    def check(self) -> None:
        """SettingError where the configuration's model does not write texts."""
        check_writer(self.config.model)

    def load(self) -> TextData:
        """The text; with the vocabulary beside the weights to begin with, where there is one."""
        place = Path(self.config.init)
        place = place if place.is_dir() else place.parent
        vocabulary, merges = place / folder.VOCABULARY, place / folder.MERGES
        known = self.config.init and vocabulary.is_file() and merges.is_file()
        tokens = BytePairs.load(vocabulary, merges) if known else None
        return load_text(self.config.data, entry(self.config.model).config.vocab_size, tokens)

    def build(self, resumed: bool) -> Any:
        """The language model, with as many tokens as the text's vocabulary."""
        with about_settings():
            model = create_model(self.config.model, vocab_size=len(self.data.tokens))
        if self.config.length > model.config.n_positions - 1:
            raise SettingError(
                f"length is up to {model.config.n_positions - 1}, as the model has places, got {self.config.length}"
            )
        if self.config.init and not resumed:
            self.begun = initial.begin_from(model, self.config.init)
        return model

    @property
    def length(self) -> int:
        """Tokens of a piece that something is to be said about."""
        return self.config.length or self.model.config.n_positions - 1

    def sizes(self) -> tuple[int, int]:
        """How many pieces there are for training and for the test."""
        return max(1, (len(self.data.train) - 1) // self.length), -(-(len(self.data.test) - 1) // self.length)

    def counts(self) -> dict[str, int]:
        """Tokens, and bytes of the test."""
        return {"train_tokens": len(self.data.train), "test_tokens": len(self.data.test), "test_bytes": self.data.test_bytes}

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What is left of this epoch's pieces (B, T + 1), twice: each token is the answer to those before it."""
        count, size = self.sizes()[0], self.config.batch_size
        room = len(self.data.train) - 1 - count * self.length
        starts = rng.integers(room + 1) + self.length * rng.permutation(count)
        for at in range(self.batch * size, count, size):
            pieces = np.stack([self.data.train[start : start + self.length + 1] for start in starts[at : at + size]])
            yield pieces, pieces

    def amount(self, images: np.ndarray) -> int:
        """Tokens that something is said about."""
        return len(images) * (images.shape[1] - 1)

    def answer(self, images: np.ndarray, labels: np.ndarray) -> tuple[Any, float]:
        """The mean loss of a token, with its graph."""
        return self.model.loss(images), 0.0

    @no_grad()
    def test(self) -> Tally:
        """The mean loss of a token of the test text, read piece by piece; each piece forgets those before it."""
        self.model.eval()
        tally = Tally()
        for piece in windows(self.data.test, self.length):
            tally.add(len(piece) - 1, self.model.loss(piece[None]).item())
        return tally

    def figures(self, part: str, tally: Tally) -> dict[str, float]:
        """Nats per token; of the test also bits per byte, which vocabularies of all sizes can be compared in."""
        found = {f"{part}_loss": tally.mean_loss}
        if part == "test":
            found["bits_per_byte"] = tally.loss / math.log(2.0) / self.data.test_bytes
        return found

    def fingerprint(self) -> int:
        """A checksum of all tokens."""
        return checksum(self.data.train, self.data.test)

    def more_files(self) -> dict[str, str]:
        """The vocabulary and the merges."""
        return dict(zip((folder.VOCABULARY, folder.MERGES), self.data.tokens.texts(), strict=True))

    def results(self, found: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The figures of a finished run with some texts that the model writes, and its picture."""
        from ..plot import text_report

        found["samples"] = [self.sample(seed) for seed in range(SAMPLES)]
        return found, text_report(self.rows, found)

    def sample(self, seed: int) -> str:
        """What the model writes after an empty line, among the 40 likeliest tokens each time."""
        start = self.data.tokens.encode("\n\n")
        return self.data.tokens.decode(generate(self.model.eval(), start, SAMPLE, top_k=40, seed=seed))


def check_writer(name: str) -> None:
    """SettingError where a model is unknown, or does not write texts."""
    with about_settings():
        found = entry(name)
    if not is_writer(found.name):
        writers = ", ".join(filter(is_writer, list_models()))
        raise SettingError(f"{found.name} does not write texts\n  expected: {writers}")


def is_writer(name: str) -> bool:
    """Whether a registered model goes on with texts."""
    return bool(getattr(entry(name).config, "writes", False))
