"""Pre-training: a run that learns without labels, is stopped and resumed like any other, and gives its encoder away."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import Press, tiny_mnist

import minivision as mv
from minivision import data, train
from minivision.cli import main
from minivision.errors import CheckpointError, SettingError
from minivision.train import PretrainConfig, Pretrainer, folder, initial
from minivision.train.build import build_model

NAMES = ("mae", "simmim")
ENCODERS = {"mae": "vit", "simmim": "swin"}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_mnist(tmp_path_factory.mktemp("mnist"))


def small(spec: str, model: str) -> PretrainConfig:
    return PretrainConfig(model, data=spec, epochs=2, batch_size=20)


@pytest.fixture(scope="module", params=NAMES)
def whole(request: pytest.FixtureRequest, spec: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The model and the folder of a run that was never stopped."""
    out = tmp_path_factory.mktemp("pretrained")
    train.start(small(spec, request.param), out)
    return request.param, out


def test_a_run_leaves_its_files_and_no_accuracy(whole: tuple[str, Path]) -> None:
    _, out = whole
    assert sorted(path.name for path in out.iterdir()) == sorted(set(folder.FILES) - {folder.STATE})
    found = json.loads((out / folder.METRICS).read_text())
    assert not [name for name in found if "accuracy" in name]
    assert (found["epochs"], found["steps"]) == (2, 6)
    assert (out / folder.REPORT).read_bytes().startswith(b"\x89PNG")


def test_a_stopped_run_ends_with_the_same_bits(spec: str, whole: tuple[str, Path], tmp_path: Path) -> None:
    name, out = whole
    with pytest.raises(train.Interrupted):
        train.start(small(spec, name), tmp_path, Press(4))
    mv.manual_seed(123)  # what another process would have drawn
    with pytest.raises(CheckpointError, match="is of `minivision pretrain`"):
        train.resume(tmp_path, {})
    train.resume(tmp_path, {}, kind=PretrainConfig)
    assert (tmp_path / folder.MODEL).read_bytes() == (out / folder.MODEL).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_labels_are_not_looked_at(spec: str, name: str) -> None:
    own = data.load(spec, 0)
    other = replace(own, train_labels=np.zeros_like(own.train_labels), test_labels=np.zeros_like(own.test_labels))
    states = []
    for dataset in (own, other):
        trainer = Pretrainer(replace(small(spec, name), epochs=1), dataset)
        list(trainer.steps())
        states.append(trainer.model.state_dict())
    for entry, values in states[0].items():
        np.testing.assert_array_equal(values, states[1][entry], err_msg=entry)


@pytest.mark.parametrize("name", NAMES)
def test_the_test_loss_has_the_same_masks_every_time(spec: str, name: str) -> None:
    trainer = Pretrainer(small(spec, name))
    first = trainer.test().mean_loss
    mv.manual_seed(5)
    assert trainer.test().mean_loss == first


@pytest.mark.parametrize(("ratio", "shown"), [(0.5, 8), (0.0, 4)])
def test_the_mask_ratio_is_the_one_asked_for(spec: str, ratio: float, shown: int) -> None:
    assert Pretrainer(replace(small(spec, "mae"), mask_ratio=ratio)).model.config.visible == shown


@pytest.mark.parametrize("name", NAMES)
def test_reconstructions_hide_what_the_model_does_not_see(spec: str, name: str) -> None:
    trainer = Pretrainer(small(spec, name))
    numbers = np.arange(3)
    images, seen, painted = train.reconstructions(trainer.model, trainer.data, numbers)
    hidden = np.isnan(seen)
    np.testing.assert_array_equal(images, trainer.data.test_images[numbers])
    np.testing.assert_array_equal(seen[~hidden], images[~hidden])
    np.testing.assert_array_equal(painted[~hidden], images[~hidden])
    assert hidden.mean() == pytest.approx({"mae": 0.75, "simmim": 10 / 16}[name])
    changed = trainer.data.test_pixels.copy()
    changed[:3][hidden] = 255 - changed[:3][hidden]  # what is not seen
    again = train.reconstructions(trainer.model, replace(trainer.data, test_pixels=changed), numbers)[2]
    np.testing.assert_array_equal(again[hidden], painted[hidden])


def test_larger_images_have_larger_patches_and_cells() -> None:
    config = build_model("simmim", data.load("photos")).config
    assert (config.in_chans, config.img_size, config.patch_size, config.mask_patch_size) == (3, 32, 4, 8)


# ------------------------------------------------------------------------------------------------- what it begins with


def test_the_encoder_goes_into_the_classifier(spec: str, whole: tuple[str, Path]) -> None:
    name, out = whole
    saved, model = mv.load_checkpoint(out / folder.MODEL), build_model(ENCODERS[name], data.load(spec, 0))
    told = initial.begin_from(model, out)
    own, prefix = model.state_dict(), {"mae": "", "simmim": "encoder."}[name]
    new = [entry for entry in own if entry.startswith("head")]
    assert told == f"{len(own) - len(new)} of {len(own)} entries from {out / folder.MODEL}; new: {', '.join(new)}"
    for entry in own.keys() - set(new):
        np.testing.assert_array_equal(own[entry], saved[prefix + entry], err_msg=entry)


def test_a_classifier_of_other_classes_stays_new(spec: str, tmp_path: Path) -> None:
    dataset = data.load(spec, 0)
    other = build_model("vit", replace(dataset, classes=[str(i) for i in range(12)]))
    mv.save_checkpoint(tmp_path / "other.safetensors", other)
    model = build_model("vit", dataset)
    head = model.head.weight.data.copy()
    assert "new: head.weight, head.bias" in initial.begin_from(model, tmp_path / "other.safetensors")
    np.testing.assert_array_equal(model.head.weight.data, head)
    np.testing.assert_array_equal(model.cls_token.data, other.cls_token.data)


@pytest.mark.parametrize(("saved", "loaded"), [("mae", "swin"), ("vit", "resnet18"), ("simmim", "vit")])
def test_another_models_weights_are_refused_whole(spec: str, tmp_path: Path, saved: str, loaded: str) -> None:
    dataset = data.load(spec, 0)
    mv.save_checkpoint(tmp_path / "other.safetensors", build_model(saved, dataset))
    model = build_model(loaded, dataset)
    before = model.state_dict()
    with pytest.raises(CheckpointError, match=r"nothing was loaded"):
        initial.begin_from(model, tmp_path / "other.safetensors")
    for entry, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[entry], err_msg=entry)


def test_a_folder_without_a_run_is_told(spec: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no finished run"):
        initial.begin_from(build_model("vit", data.load(spec, 0)), tmp_path)


def test_a_resumed_run_does_not_need_what_it_began_with(spec: str, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    mv.save_checkpoint(start, build_model("vit", data.load(spec, 0)))
    config = train.Config("vit", data=spec, epochs=2, batch_size=20, init=str(start), labels=2)
    whole = train.start(config, tmp_path / "whole")
    with pytest.raises(train.Interrupted):
        train.start(config, tmp_path / "stopped", Press(1))
    start.unlink()
    train.resume(tmp_path / "stopped", {})
    assert (tmp_path / "stopped" / folder.MODEL).read_bytes() == (tmp_path / "whole" / folder.MODEL).read_bytes()
    assert whole["train_images"] == 2 * 10


# ---------------------------------------------------------------------------------------------------- the command line


def test_pretrain_then_train(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", spec, "--epochs", "1", "--batch-size", "20"]
    assert main(["pretrain", "mae", "--out", str(tmp_path / "mae"), "--augment", *options]) == 0
    saved = json.loads((tmp_path / "mae" / folder.CONFIG).read_text())
    assert (saved["augment"], saved["beta2"], PretrainConfig("mae").augment) == (True, 0.95, False)
    first, row, last, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("mae_digits, 229,796 parameters, on mnist: 60 training and 20 test images")
    assert row.startswith("epoch 1/1  loss ")
    assert "right" not in row + last
    begun = ["--init", str(tmp_path / "mae"), "--labels", "1", "--pool", "avg"]
    assert main(["train", "vit", "--out", str(tmp_path / "vit"), *begun, *options]) == 0
    told = capsys.readouterr().out
    assert f"begins with 52 of 56 entries from {tmp_path / 'mae' / folder.MODEL}" in told
    assert "10 training and 20 test images" in told


@pytest.mark.parametrize(
    ("name", "message"), [("vit", "vit_digits does not hide a part"), ("mea", r"no model 'mea' \(did you mean mae")]
)
def test_only_masked_models_are_pretrained(spec: str, name: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Pretrainer(small(spec, name))


def test_labels_do_not_train_what_has_no_classes(spec: str) -> None:
    with pytest.raises(SettingError, match=r"mae_digits has no classes(.|\n)*minivision pretrain mae_digits"):
        train.Trainer(train.Config("mae", data=spec))
