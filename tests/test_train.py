"""Training: a stopped run ends with the same bits, files are whole, nothing is lost."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from runs import Press, small, tiny_mnist

import minivision as mv
from minivision import data, kernels, train
from minivision.errors import CheckpointError, DataError, SettingError
from minivision.train import Config, Trainer, Watcher, folder
from minivision.train.build import build_model, suitable_patch
from minivision.train.trainer import groups

FIGURES = ("epoch", "step", "lr", "train_loss", "train_accuracy", "test_loss", "test_accuracy")


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_mnist(tmp_path_factory.mktemp("mnist"))


@pytest.fixture(scope="module")
def whole(spec: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train.start(small(spec), out)
    return out


def rows_of(out: Path) -> list[list[str]]:
    with (out / folder.ROWS).open(newline="") as file:
        return [[row[name] for name in FIGURES] for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("step", "tested"), [(1, False), (4, False), (4, True), (6, False), (11, False), (12, False), (12, True)]
)
def test_a_stopped_run_ends_with_the_same_bits(spec: str, whole: Path, tmp_path: Path, step: int, tested: bool) -> None:
    with pytest.raises(train.Interrupted):
        train.start(small(spec), tmp_path, Press(step, tested))
    assert not (tmp_path / folder.MODEL).exists()
    mv.manual_seed(123)  # what another process would have drawn
    train.resume(tmp_path, {})
    assert (tmp_path / folder.MODEL).read_bytes() == (whole / folder.MODEL).read_bytes()
    assert rows_of(tmp_path) == rows_of(whole)
    assert not (tmp_path / folder.STATE).exists()


def test_a_run_stopped_twice_ends_with_the_same_bits(spec: str, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(train.Interrupted):
        train.start(small(spec), tmp_path, Press(3))
    with pytest.raises(train.Interrupted):
        train.resume(tmp_path, {}, Press(7))
    train.resume(tmp_path, {})
    assert (tmp_path / folder.MODEL).read_bytes() == (whole / folder.MODEL).read_bytes()


def test_the_same_bits_run_to_run_and_for_one_thread_and_two(spec: str, whole: Path, tmp_path: Path) -> None:
    before = kernels.get_num_threads()
    try:
        for threads in (1, 2):
            kernels.set_num_threads(threads)
            train.start(small(spec), tmp_path / str(threads))
    finally:
        kernels.set_num_threads(before)
    files = {(out / folder.MODEL).read_bytes() for out in (whole, tmp_path / "1", tmp_path / "2")}
    assert len(files) == 1


def test_another_seed_gives_other_weights(spec: str, whole: Path, tmp_path: Path) -> None:
    train.start(small(spec, seed=1), tmp_path)
    assert (tmp_path / folder.MODEL).read_bytes() != (whole / folder.MODEL).read_bytes()


def test_a_run_leaves_its_files(spec: str, whole: Path) -> None:
    assert sorted(path.name for path in whole.iterdir()) == sorted(set(folder.FILES) - {folder.STATE})
    assert Config(**json.loads((whole / folder.CONFIG).read_text())) == small(spec)
    found = json.loads((whole / folder.METRICS).read_text())
    assert {
        "test_accuracy",
        "seconds",
        "images_per_second",
        "parameters",
        "seed",
        "loss",
        "epochs",
        "isa",
        "threads",
    } <= found.keys()
    assert (found["epochs"], found["steps"], found["parameters"]) == (3, 12, 202_186)
    with (whole / folder.ROWS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["test_accuracy"]) == found["test_accuracy"]
    assert 0.0 < float(rows[0]["seconds"]) < float(rows[-1]["seconds"]) == found["seconds"]


def test_the_saved_weights_have_the_accuracy_that_was_told(spec: str, whole: Path) -> None:
    dataset = data.load(spec, 0)
    model = build_model("vit", dataset)
    model.load_state_dict(mv.load_checkpoint(whole / folder.MODEL))
    right = train.predict(model, dataset.test_images, 7).argmax(-1) == dataset.test_labels
    assert right.mean() == json.loads((whole / folder.METRICS).read_text())["test_accuracy"]


def test_training_learns(spec: str) -> None:
    trainer = Trainer(small(spec, epochs=45, augment=False, drop_path=0.0, lr=2e-3))
    for _ in trainer.steps():
        pass
    assert trainer.rows[0]["train_accuracy"] < 0.4
    assert trainer.rows[-1]["train_accuracy"] > 0.9
    assert trainer.rows[-1]["train_loss"] < 0.6 * trainer.rows[0]["train_loss"]


def test_the_learning_rate_rises_and_falls(spec: str) -> None:
    trainer, rates = Trainer(small(spec, epochs=5, warmup=0.2, lr=1e-3)), []
    for tested in trainer.steps():
        rates += [] if tested else [trainer.scheduler.get_last_lr()[0]]  # the next step's
    assert len(rates) == 20
    assert np.argmax(rates) in (2, 3)
    assert max(rates) == pytest.approx(1e-3)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[3:]))


# ------------------------------------------------------------------------------------------------- resuming, refusing


def test_resuming_with_other_settings_names_them_and_changes_nothing(spec: str, tmp_path: Path) -> None:
    with pytest.raises(train.Interrupted):
        train.start(small(spec), tmp_path, Press(2))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SettingError, match=r"epochs is 3, not 9; lr is 0\.001, not 0\.5"):
        train.resume(tmp_path, {"epochs": 9, "lr": 0.5, "batch_size": 16})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_finished_run_is_not_trained_again(whole: Path) -> None:
    before = (whole / folder.MODEL).stat().st_mtime_ns
    assert train.resume(whole, {})["epochs"] == 3
    assert (whole / folder.MODEL).stat().st_mtime_ns == before
    with pytest.raises(SettingError, match="epochs is 3, not 4"):
        train.resume(whole, {"epochs": 4})


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no run to resume: there is no state\.safetensors"):
        train.resume(tmp_path, {})


@pytest.mark.parametrize("damage", ["truncated", "weights", "pickle"])
def test_a_damaged_state_is_refused(spec: str, tmp_path: Path, damage: str) -> None:
    with pytest.raises(train.Interrupted):
        train.start(small(spec), tmp_path, Press(2))
    state = tmp_path / folder.STATE
    content = state.read_bytes()
    if damage == "weights":
        mv.save_checkpoint(state, {"w": np.zeros(3, np.float32)})
    else:
        state.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"\x80\x04\x95" + bytes(100))
    with pytest.raises(CheckpointError, match=r"state\.safetensors"):
        train.resume(tmp_path, {})


def test_changed_data_is_refused(spec: str, tmp_path: Path) -> None:
    own = tmp_path / "mnist"
    own.mkdir()
    for path in Path(spec.partition(":")[2]).iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    with pytest.raises(train.Interrupted):
        train.start(small(f"mnist:{own}"), tmp_path / "run", Press(2))
    images = own / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1] + b"\x07")
    with pytest.raises(DataError, match="has changed since this run began"):
        train.resume(tmp_path / "run", {})


def test_a_new_run_moves_the_earlier_ones_aside(spec: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    moved: list[Path] = []
    watcher = Watcher()
    watcher.moved = moved.append  # type: ignore[method-assign]
    for seed in range(3):
        train.start(small(spec, epochs=1, seed=seed), tmp_path, watcher)
    assert moved == [tmp_path / "earlier-1", tmp_path / "earlier-2"]
    seeds = [json.loads((place / folder.CONFIG).read_text())["seed"] for place in (*moved, tmp_path)]
    assert seeds == [0, 1, 2]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_nothing_is_made_where_the_settings_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="there is no model 'vot'"):
        train.start(Config("vot"), tmp_path / "run")
    with pytest.raises(DataError, match="digits"):
        train.start(Config("vit", data="digts"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"lr": float("nan")}, "lr must be at least 0, got nan"),
        ({"lr": float("inf")}, "lr must be finite"),
        ({"label_smoothing": 1.0}, "label_smoothing must be below 1"),
        ({"clip": 0.0}, "clip must be above 0"),
        ({"backend": "cuda"}, "backend must be one of c, numpy"),
    ],
)
def test_settings_out_of_range(wrong: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Config("vit", **wrong)


# ------------------------------------------------------------------------------------------------------------- parts


def test_matrices_decay_and_tables_learn_faster(spec: str) -> None:
    model, config = build_model("vit", data.load(spec, 0)), small(spec, weight_decay=0.1, lr=0.01, table_lr=3.0)
    names = {parameter: name for name, parameter in model.named_parameters()}
    matrices, vectors, tables = groups(model, config)
    assert [group["weight_decay"] for group in (matrices, vectors, tables)] == [0.1, 0.0, 0.0]
    assert all(p.ndim >= 2 and names[p].endswith("weight") for p in matrices["params"])
    assert {names[p] for p in tables["params"]} == {"cls_token", "pos_embed"}
    assert len(matrices["params"]) + len(vectors["params"]) + len(tables["params"]) == len(names)
    assert Trainer(config).scheduler.base_lrs == [0.01, 0.01, pytest.approx(0.03)]


def test_a_model_of_ones_own_is_trained(spec: str) -> None:
    own = mv.create_model("vit_digits", depth=1)
    before = own.head.weight.data.copy()
    trainer = Trainer(small(spec, epochs=1), model=own)
    list(trainer.steps())
    assert trainer.model is own
    assert not np.array_equal(own.head.weight.data, before)


@pytest.mark.parametrize(("side", "patch"), [(8, 2), (28, 4), (32, 4), (64, 8), (224, 14), (29, 1)])
def test_patches_suit_the_image(side: int, patch: int) -> None:
    assert suitable_patch(side) == patch


def test_a_published_model_keeps_its_patches_and_says_what_does_not_fit(spec: str) -> None:
    with pytest.raises(SettingError, match=r"vit_tiny_patch16_224 does not fit mnist: img_size 8 .* multiple of patch_size 16"):
        build_model("vit_tiny_patch16_224", data.load(spec, 0))


def test_images_must_be_square() -> None:
    pixels, labels = np.zeros((2, 1, 8, 6), np.uint8), np.zeros(2, np.int64)
    dataset = data.Dataset("oblong", pixels, labels, pixels, labels, ["a", "b"])
    with pytest.raises(DataError, match="square images, got 8 x 6"):
        build_model("vit", dataset)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.json"
    folder.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        folder.write_json(path, {"a": object()})

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(folder.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        folder.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["metrics.json"]
