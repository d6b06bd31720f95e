"""Training a language model that reads on: a text in streams, and what was read of each goes from step to step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..data.texts import windows
from ..errors import about_settings
from ..models import entry
from ..recording import no_grad
from .config import TextConfig
from .tally import Tally
from .texts import TextTrainer, check_writer


class StreamTrainer(TextTrainer):
    """A TextTrainer whose model has a memory of earlier segments, such as Transformer-XL's.

    The training text, from a place that is drawn for each epoch, is cut into batch_size streams (fewer where it is short), and a
    step reads the next segment of every stream, with the memory of those before. The test is one stream.
    """

    memory: Any = None

    @property
    def length(self) -> int:
        """Tokens of a segment."""
        return self.config.length or self.model.config.tgt_len

    def sizes(self) -> tuple[int, int]:
        """How many segments the streams have together, and the test."""
        count, test = super().sizes()
        streams = min(self.config.batch_size, count)
        return count // streams * streams, test

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What is left of this epoch's segments (B, T + 1), each beginning with the last token of the one before."""
        count = self.sizes()[0]
        streams = min(self.config.batch_size, count)
        each = count // streams * self.length  # tokens of a stream
        start = rng.integers(max(len(self.data.train) - count * self.length, 1))
        if self.batch == 0:
            self.memory = self.model.memory(streams)
        for at in range(start + self.batch * self.length, start + each, self.length):
            pieces = np.stack([self.data.train[i : i + self.length + 1] for i in range(at, at + streams * each, each)])
            yield pieces, pieces

    def answer(self, images: np.ndarray, labels: np.ndarray) -> tuple[Any, float]:
        """The mean loss of a token behind those in the memory, with its graph."""
        return self.model.loss(images, self.memory), 0.0

    @no_grad()
    def test(self) -> Tally:
        """The mean loss of a token of the test text, which is read through."""
        self.model.eval()
        tally, memory = Tally(), self.model.memory(1)
        for piece in windows(self.data.test, self.length):
            tally.add(len(piece) - 1, self.model.loss(piece[None], memory).item())
        return tally

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """With the memory, where an epoch is under way."""
        arrays, more = super().state()
        if self.batch:
            arrays |= {f"memory.{i}": hidden for i, hidden in enumerate(self.memory.hidden)}
        return arrays, more

    def restore(self, arrays: Mapping[str, np.ndarray], more: Mapping[str, Any]) -> None:
        """With the memory."""
        super().restore(arrays, more)
        if self.batch:
            self.memory = self.model.memory(len(arrays["memory.0"]))
            self.memory.hidden = [arrays[f"memory.{i}"] for i in range(len(self.memory.hidden))]


def text_trainer(config: TextConfig, resumed: bool = False) -> TextTrainer:
    """The trainer for the configuration's model: a StreamTrainer where it reads on. SettingError where it writes no texts."""
    check_writer(config.model)
    with about_settings():
        recurrent = entry(config.model).config.recurrent
    return (StreamTrainer if recurrent else TextTrainer)(config, resumed=resumed)
