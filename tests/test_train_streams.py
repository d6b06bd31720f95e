"""Training with a memory: streams that go on from step to step, a test that is read through, a stop in between."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from runs import Press, lines_of_text

import minivision as mv
from minivision import train
from minivision.errors import SettingError
from minivision.train import StreamTrainer, TextConfig, TextTrainer, folder, text_trainer, texts


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return lines_of_text(tmp_path_factory.mktemp("texts"))


def small(spec: str, **changes: object) -> TextConfig:
    settings = {"data": spec, "epochs": 2, "batch_size": 6, "length": 24, **changes}
    return TextConfig("transformer_xl_tiny", **settings)


@pytest.mark.parametrize(("name", "kind"), [("transformer_xl_tiny", StreamTrainer), ("gpt2_tiny", TextTrainer)])
def test_models_with_a_memory_of_segments_are_trained_in_streams(spec: str, name: str, kind: type) -> None:
    assert type(text_trainer(TextConfig(name, data=spec, length=24))) is kind


def test_a_model_that_writes_nothing_is_refused(spec: str) -> None:
    with pytest.raises(SettingError, match="does not write texts"):
        text_trainer(TextConfig("bert_tiny", data=spec))


@pytest.mark.parametrize("batch_size", [1, 6, 1000])
def test_every_stream_reads_on(spec: str, batch_size: int) -> None:
    trainer = text_trainer(small(spec, batch_size=batch_size))
    steps = [pieces for pieces, _ in trainer.batches(np.random.default_rng(0))]
    assert len(steps) == trainer.batches_per_epoch
    streams = len(steps[0])
    assert streams * len(steps) == trainer.sizes()[0]
    for before, after in itertools.pairwise(steps):
        np.testing.assert_array_equal(after[:, 0], before[:, -1])
    read = np.concatenate([np.concatenate([step[i, :-1] for step in steps]) for i in range(streams)])
    text = trainer.data.train
    assert any(np.array_equal(text[i : i + len(read)], read) for i in range(len(text) - len(read))), "one stretch of the text"


def test_a_step_sees_the_segment_before(spec: str) -> None:
    trainer = text_trainer(small(spec))
    batches = trainer.batches(np.random.default_rng(0))
    first, second = next(batches)[0], next(batches)[0]
    trainer.answer(first, first)
    loss = trainer.answer(second, second)[0].item()
    memory = trainer.model.memory(len(first))
    trainer.model.loss(first, memory)
    assert loss == trainer.model.loss(second, memory).item() != trainer.model.loss(second).item()


def test_bits_per_byte_are_of_one_stream(spec: str) -> None:
    trainer = text_trainer(small(spec))
    test, memory, nats = trainer.data.test, trainer.model.eval().memory(1), 0.0
    for at in range(0, len(test) - 1, 24):
        piece = test[at : at + 25]
        nats += trainer.model.loss(piece[None], memory).item() * (len(piece) - 1)
    found = trainer.figures("test", trainer.test())
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / trainer.data.test_bytes, rel=1e-6)


def test_a_stopped_run_ends_with_the_same_bits(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "SAMPLE", 4)
    train.start(small(spec), tmp_path / "whole")
    for steps in 3, 13:  # within the first epoch, and within the second
        out = tmp_path / f"stopped-{steps}"
        with pytest.raises(train.Interrupted):
            train.start(small(spec), out, Press(steps))
        mv.manual_seed(5)
        train.resume(out, {}, kind=TextConfig)
        assert (out / folder.MODEL).read_bytes() == (tmp_path / "whole" / folder.MODEL).read_bytes()
