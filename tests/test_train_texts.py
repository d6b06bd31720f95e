"""Training on texts: what an epoch reads, bits per byte, a stopped run, the vocabulary beside the weights, and writing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from runs import LINES, Press, lines_of_text

import minivision as mv
from minivision import train
from minivision.cli import main
from minivision.data.texts import load_text, windows
from minivision.errors import DataError, SettingError
from minivision.text import BytePairs
from minivision.train import TextConfig, TextTrainer, folder


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return lines_of_text(tmp_path_factory.mktemp("texts"))


def small(spec: str, **changes: object) -> TextConfig:
    return TextConfig("gpt2_tiny", **{"data": spec, "epochs": 2, "batch_size": 8, "length": 24, **changes})


@pytest.fixture(scope="module")
def whole(spec: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written") / "run"
    train.start(small(spec), out)
    return out


def test_a_text_is_split_at_a_line_and_comes_back(spec: str) -> None:
    found = load_text(spec, 300)
    parts = [found.tokens.decode(part) for part in (found.train, found.test)]
    assert "".join(parts) == LINES
    assert parts[0].endswith("\n")
    assert len(parts[1].encode()) == found.test_bytes
    assert 0.05 < len(parts[1]) / len(LINES) < 0.15


def test_a_folder_s_files_are_joined_by_name(tmp_path: Path) -> None:
    for name, text in {"b.md": "second\n" * 9, "a.txt": "first\n" * 9, "c.bin": "no text"}.items():
        (tmp_path / name).write_text(text)
    found = load_text(f"text:{tmp_path}", 260)
    assert found.tokens.decode(np.concatenate([found.train, found.test])) == "first\n" * 9 + "second\n" * 9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda place: place / "nowhere.txt", "cannot be read as UTF-8"),
        (lambda place: place, "holds no text"),
        (lambda place: place.joinpath("one.txt").write_text("one line") and place / "one.txt", "some lines"),
        (
            lambda place: place.joinpath("odd.txt").write_bytes(b"\xff\xfe\n" * 20) and place / "odd.txt",
            "cannot be read as UTF-8",
        ),
    ],
)
def test_other_places_are_refused(tmp_path: Path, make: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_text(f"text:{make(tmp_path)}", 300)
    with pytest.raises(DataError, match="is no text for a language model"):
        load_text("digits", 300)


def test_windows_say_something_about_every_token_but_the_first() -> None:
    tokens = np.arange(24)
    found = list(windows(tokens, 10))
    assert [len(each) for each in found] == [11, 11, 4]
    np.testing.assert_array_equal(np.concatenate([each[1:] for each in found]), tokens[1:])
    assert list(windows(tokens[:1], 10)) == []


def test_an_epoch_reads_each_piece_once(spec: str) -> None:
    trainer = TextTrainer(small(spec))
    pieces = np.concatenate([images for images, _ in trainer.batches(np.random.default_rng(0))])
    count = trainer.sizes()[0]
    assert pieces.shape == (count, 25)
    text = trainer.data.train
    starts = [next(i for i in range(len(text)) if np.array_equal(text[i : i + 25], piece)) for piece in pieces]
    assert len(set(starts)) == count
    assert {start % 24 for start in starts} == {min(starts) % 24}


def test_bits_per_byte_are_the_test_s_nats(spec: str) -> None:
    trainer = TextTrainer(small(spec))
    nats = sum(trainer.model.eval().loss(piece[None]).item() * (len(piece) - 1) for piece in windows(trainer.data.test, 24))
    found = trainer.figures("test", trainer.test())
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / trainer.data.test_bytes, rel=1e-6)


def test_a_stopped_run_ends_with_the_same_bits(spec: str, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(train.Interrupted):
        train.start(small(spec), tmp_path, Press(4))
    mv.manual_seed(5)
    train.resume(tmp_path, {}, kind=TextConfig)
    assert (tmp_path / folder.MODEL).read_bytes() == (whole / folder.MODEL).read_bytes()


def test_a_run_leaves_its_vocabulary_and_texts(spec: str, whole: Path) -> None:
    assert sorted(path.name for path in whole.iterdir()) == sorted(
        {*folder.FILES, folder.VOCABULARY, folder.MERGES} - {folder.STATE}
    )
    found = json.loads((whole / folder.METRICS).read_text())
    assert found["bits_per_byte"] < 8.0
    assert len(found["samples"]) == 3 != len(set(found["samples"])) - 1
    tokens = BytePairs.load(whole / folder.VOCABULARY, whole / folder.MERGES)
    assert tokens.encode(LINES[:500]) == load_text(spec, 512).tokens.encode(LINES[:500])


def test_a_run_begins_with_another_s_weights_and_vocabulary(spec: str, whole: Path) -> None:
    trainer = TextTrainer(small(spec, init=str(whole)))
    assert "entries from" in trainer.begun
    for name, value in mv.load_checkpoint(whole / folder.MODEL).items():
        np.testing.assert_array_equal(trainer.model.state_dict()[name], value)


def test_writing_is_the_same_by_seed(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = []
    for seed in ("1", "1", "2"):
        command = ["generate", "gpt2_tiny", "--init", str(whole), "--prompt", "the 7th", "--tokens", "30", "--seed", seed]
        assert main(command) == 0
        out, err = capsys.readouterr()
        assert out.startswith("the 7th")
        assert "tokens in" in err
        written.append(out)
    assert written[0] == written[1] != written[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "gpt2_tiny", "--label-smoothing", "0.1"], "--label-smoothing means nothing"),
        (["train", "vit", "--length", "9"], "vit is a model of images, for which --length means nothing"),
        (["train", "gpt2_tiny", "--length", "128"], "length is up to 127"),
        (["train", "gpt2_tiny", "--data", "digits"], "'digits' is no text"),
        (["generate", "vit", "--init", "."], "vit_digits does not write texts"),
        (["generate", "gpt2_tiny", "--init", "."], "has no vocab.json"),
        (["generate", "gpt2_tiny", "--init", ".", "--top-p", "0"], "top_p above 0"),
    ],
)
def test_bad_input_is_one_message(
    arguments: list[str],
    message: str,
    spec: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "train" and "--data" not in arguments and "vit" not in arguments:
        arguments = [*arguments, "--data", spec]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_length_beyond_the_model_is_refused(spec: str) -> None:
    with pytest.raises(SettingError, match="length is up to 127"):
        TextTrainer(small(spec, length=200))
