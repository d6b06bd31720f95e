"""Frozen features: ridge regression against direct solves, few shots, a linear probe, and the two commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import tiny_mnist

import minivision as mv
from minivision import data, probe
from minivision.cli import main
from minivision.errors import DataError
from minivision.train.build import build_model

PENALTIES = np.array([1e-2, 1.0, 30.0])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def direct(x: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """The normal equations with a column of ones that has no penalty."""
    ones = np.column_stack([x, np.ones(len(x))])
    penalties = np.diag([*[penalty] * x.shape[1], 0.0])
    solved = np.linalg.solve(ones.T @ ones + penalties, ones.T @ y)
    return solved[:-1], solved[-1]


@pytest.mark.parametrize(("rows", "columns"), [(20, 5), (6, 15), (2, 3)])
def test_ridge_is_the_normal_equations_for_every_penalty(rng: np.random.Generator, rows: int, columns: int) -> None:
    x, y = rng.standard_normal((rows, columns)) + 3.0, rng.standard_normal((rows, 4)) - 2.0
    w, b, left_out = probe.ridge(x, y, PENALTIES)
    for i, penalty in enumerate(PENALTIES):
        weights, bias = direct(x, y, penalty)
        np.testing.assert_allclose(w[i], weights, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(b[i], bias, rtol=1e-8, atol=1e-10)
        for row in range(rows):
            weights, bias = direct(np.delete(x, row, 0), np.delete(y, row, 0), penalty)
            np.testing.assert_allclose(left_out[i, row], x[row] @ weights + bias, rtol=1e-7, atol=1e-9)


def test_a_column_that_never_varies_says_nothing(rng: np.random.Generator) -> None:
    known, asked = rng.standard_normal((8, 3)), rng.standard_normal((5, 3))
    known[:, 1] = 0.3
    first, second = probe.standardised(known, asked)
    np.testing.assert_array_equal(first[:, 1], 0.0)
    np.testing.assert_array_equal(second[:, 1], 0.0)
    np.testing.assert_allclose(first[:, [0, 2]].std(0), 1.0, rtol=1e-12)


@pytest.mark.parametrize("method", [probe.few_shot, probe.linear_probe])
def test_answers_do_not_depend_on_the_features_scale(rng: np.random.Generator, method: object) -> None:
    labels, answers = np.repeat([2, 5, 7], 20), rng.choice([2, 5, 7], 40)
    known, asked = (2.0 * np.eye(8)[each] + rng.standard_normal((len(each), 8)) for each in (labels, answers))
    first = method(known, labels, asked)
    assert np.mean(first == answers) > 0.75
    np.testing.assert_array_equal(method(1000.0 * known - 7.0, labels, 1000.0 * asked - 7.0), first)


def test_features_are_what_the_last_layer_is_given() -> None:
    dataset = data.load("digits")
    images = dataset.test_images[:10]
    for name in ("vit", "swin", "resnet18", "mobilenet_v3_small"):
        model = build_model(name, dataset)
        found = probe.features(model, images, batch_size=4)
        head = [m for m in model.modules() if isinstance(m, mv.nn.Linear)][-1]
        with mv.no_grad():
            logits = model(mv.tensor(images)).numpy()
        np.testing.assert_allclose(found @ head.weight.numpy().T + head.bias.numpy(), logits, rtol=1e-4, atol=1e-5)


def test_few_of_each_class_and_other_draws() -> None:
    labels = np.array([1, 0, 0, 1, 1, 0, 0, 0])
    chosen = data.dataset.few_of_each(labels, 2, seed=0)
    np.testing.assert_array_equal(labels[chosen], [0, 0, 1, 1])
    assert len(set(chosen.tolist())) == 4
    assert any(set(data.dataset.few_of_each(labels, 2, seed).tolist()) != set(chosen.tolist()) for seed in range(1, 5))
    with pytest.raises(DataError, match=r"4 images of each class(.|\n)*found: 3 of class 1"):
        data.dataset.few_of_each(labels, 4, seed=0)


def test_a_dataset_of_few_labels_is_standardised_as_before() -> None:
    whole = data.load("digits")
    few = whole.few(3, seed=1)
    np.testing.assert_array_equal(np.bincount(few.train_labels), 3)
    np.testing.assert_array_equal(few.test_images[:5], whole.test_images[:5])


@pytest.mark.parametrize("command", [["probe"], ["few-shot", "--shots", "1", "2", "--draws", "2"]])
def test_the_commands_print_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    spec, (name, *options) = tiny_mnist(tmp_path), command
    mv.save_checkpoint(tmp_path / "vit.safetensors", build_model("vit", data.load(spec, 0)))
    init = ["--init", str(tmp_path / "vit.safetensors")]
    assert main([name, "vit", "--data", spec, "--pool", "avg", *init, *options]) == 0
    out = capsys.readouterr().out
    assert "new: fc_norm.weight, fc_norm.bias" in out
    rows = {line[:16].strip(): line[16:].split() for line in out.splitlines() if line.startswith(("this", "random", "pixels"))}
    assert list(rows) == ["this model", "random weights", "pixels"]
    assert len(rows["pixels"]) == (1 if name == "probe" else 6)
    assert main([name, "vit", "--data", spec]) == 0
    assert "this model" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["probe", "mae"], "mae_digits has no classes"),
        (["probe", "swin", "--pool", "avg"], "swin_digits has one way of pooling"),
        (["few-shot", "vit", "--shots", "0"], "0 images of each class were asked for"),
        (["probe", "vit", "--data", "shapes?objects=2&size=16&train=9&test=9"], "several labels each"),
        (["probe", "vit", "--init", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_message(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
