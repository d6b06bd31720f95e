"""report.png: what is drawn is what was learned, nothing overlaps, and a model without attention gets a shorter page."""

from __future__ import annotations

import io
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

import minivision as mv
from minivision import data, nn, plot
from minivision.plot import panels
from minivision.plot.page import WIDTH, Panel, compose, png
from minivision.plot.pictures import enlarge, mosaic, on_paper, smooth


def rows(count: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": i + 1, "train_loss": 2.3 / (i + 1), "test_loss": 2.4 / (i + 1),
            "train_accuracy": 1 - 0.9 / (i + 1), "test_accuracy": 1 - 0.8 / (i + 1),
        }
        for i in range(count)
    ]  # fmt: skip


def figures(**changes: Any) -> dict[str, Any]:
    found = {
        "model": "vit",
        "test_accuracy": 0.983,
        "test_images": 360,
        "train_images": 1437,
        "parameters": 202_186,
        "epochs": 40,
    }
    config = {"augment": True, "label_smoothing": 0.1}
    return {**found, "config": config, "seconds": 25.2, "images_per_second": 3011.0, "isa": "avx2", "threads": 2, **changes}


def logits(labels: np.ndarray, wrong: int) -> np.ndarray:
    """Sure of the right class, but for the first `wrong` images, where the next class has more and more."""
    made = np.eye(10)[labels] * 5.0
    for i in range(wrong):
        made[i, (labels[i] + 1) % 10] = 6.0 + 0.02 * i
    return made.astype(np.float32)


def size(content: bytes) -> tuple[int, int]:
    height, width, _ = imread(io.BytesIO(content), format="png").shape
    return width, height


def test_the_floor_of_the_loss_is_reached_by_the_smoothed_target() -> None:
    logits = mv.tensor(np.log(np.array([[0.91] + [0.01] * 9])))
    lowest = mv.functional.cross_entropy(logits, np.array([0]), label_smoothing=0.1).item()
    assert plot._floor(figures(), 10) == f"; smoothed targets keep it above {lowest:.2f}"
    assert plot._floor({"config": {"label_smoothing": 0.0}}, 10) == ""


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits", 0)


def test_a_vision_transformer_fills_the_page(digits: data.Dataset) -> None:
    content = plot.report(mv.create_model("vit"), digits, logits(digits.test_labels, 5), rows(40), figures())
    assert content.startswith(b"\x89PNG")
    width, height = size(content)
    assert width == 1600
    assert 1300 < height < 1900
    shorter = plot.report(Blind(), digits, logits(digits.test_labels, 5), rows(40), figures())
    assert size(shorter)[0] == 1600
    assert size(shorter)[1] < height - 100


class Blind(nn.Module):
    """A model without attention, positions or patches."""


class Convolutions(nn.Module):
    """A configuration and patches, but no class token: there is no attention to draw."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Sequential()
        self.patch_embed.proj = nn.Conv2d(3, 8, 4)


def test_panels_that_a_model_has_nothing_for_are_left_out() -> None:
    assert plot._positions(Blind()) is None
    assert plot._filters(Blind()) is None
    assert plot._grid(Convolutions()) is None
    assert plot._filters(Convolutions()) is not None
    one_patch = mv.create_model("vit", img_size=2)
    assert plot._positions(one_patch) is None


@pytest.mark.parametrize("epochs", [1, 2, 40])
@pytest.mark.parametrize("wrong", [0, 1, 14, 200])
def test_words_stay_on_the_page_and_apart(digits: data.Dataset, epochs: int, wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(plot, "png", lambda figure: drawn.append(figure) or b"")
    plot.report(mv.create_model("vit"), digits, logits(digits.test_labels, wrong), rows(epochs), figures())
    (figure,) = drawn
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [
        t.get_window_extent(renderer) for t in (*figure.texts, *(t for axes in figure.axes for t in axes.texts)) if t.get_text()
    ]
    page = figure.bbox
    assert all(page.x0 <= b.x0 and b.x1 <= page.x1 and page.y0 <= b.y0 and b.y1 <= page.y1 for b in boxes)
    assert not [(a, b) for a, b in combinations(boxes, 2) if overlap(a, b)]
    frames = [axes.get_window_extent(renderer) for axes in figure.axes]
    assert not [(a, b) for a in frames for b in (t.get_window_extent(renderer) for t in figure.texts) if overlap(a, b)]


def overlap(a: Any, b: Any) -> bool:
    """By more than half a pixel each way."""
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 0.5 and min(a.y1, b.y1) - max(a.y0, b.y0) > 0.5


def test_the_same_run_gives_the_same_picture() -> None:
    def once() -> bytes:
        return png(compose("title", "below", [[panels.curves(rows(3), "loss", "Loss", "falls")]]))

    assert once() == once()


def test_rows_share_the_width() -> None:
    drawn: list[Any] = []
    wide = Panel("t", "s", lambda figure, box: drawn.append(box), lambda width: 2.0, share=3.0)
    narrow = Panel("t", "s", lambda figure, box: drawn.append(box), lambda width: 6.0)
    compose("title", "below", [[wide, None, narrow], [None]])
    first, second = drawn
    assert first.width == pytest.approx(3 * second.width)
    assert first.height == second.height == pytest.approx(6.0)
    assert second.x + second.width == pytest.approx(WIDTH - first.x)


def test_mistakes_are_the_wrong_ones_the_surest_first(digits: data.Dataset) -> None:
    asked: list[np.ndarray] = []

    def pictures(numbers: np.ndarray) -> np.ndarray:
        asked.append(numbers)
        return np.zeros((len(numbers), 8, 8, 3))

    given = logits(digits.test_labels, 3)
    panel = panels.mistakes(pictures, digits.test_labels, given, digits.classes)
    assert panel.sentence.startswith("3 of 360 unseen images; here are all of them")
    captions = texts(panel)
    expected = [f"{digits.test_labels[i]}, not {(digits.test_labels[i] + 1) % 10}" for i in (2, 1, 0)]
    assert captions == expected
    assert asked[0].tolist() == [2, 1, 0]
    many = panels.mistakes(pictures, digits.test_labels, logits(digits.test_labels, 100), digits.classes, most=14)
    assert "the 14 of which it was surest" in many.sentence
    assert texts(many)[0] == f"{digits.test_labels[99]}, not {(digits.test_labels[99] + 1) % 10}"
    none = panels.mistakes(pictures, digits.test_labels, logits(digits.test_labels, 0), digits.classes)
    assert none.sentence == "Nothing: all 360 unseen images are right."


def test_long_names_are_shortened_into_two_lines() -> None:
    assert panels._verdict("9", "3") == "9, not 3"
    assert panels._verdict("golden retriever", "cat") == "golden r…\nnot cat"


def texts(panel: Panel) -> list[str]:
    figure = compose("title", "below", [[panel]])
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_positions_that_know_the_grid_are_told_from_those_that_do_not() -> None:
    y, x = np.mgrid[:6, :6]
    angles = np.stack([y, x], -1) * (np.pi / 6)
    grid = np.concatenate([np.sin(angles), np.cos(angles)], -1)  # alike where near
    near, far = panels._neighbours(panels.likeness(grid))
    assert near > 0.8
    assert far < near - 0.5
    shuffled = np.random.default_rng(0).permutation(grid.reshape(36, -1)).reshape(6, 6, -1)
    near, far = panels._neighbours(panels.likeness(shuffled))
    assert abs(near - far) < 0.2
    assert np.allclose(panels.likeness(grid)[2, 3, 2, 3], 1.0)


def test_components_of_filters() -> None:
    rng = np.random.default_rng(0)
    edge = np.array([[1.0, -1.0], [1.0, -1.0]])
    weight = (rng.standard_normal((64, 1, 1, 1)) * edge + 0.01 * rng.standard_normal((64, 1, 2, 2))).astype(np.float32)
    panel = panels.filters(weight)
    shares = [int(caption.rstrip("%")) for caption in texts(panel)]
    assert len(shares) == 4
    assert shares[0] >= 99
    assert shares == sorted(shares, reverse=True)
    assert len(texts(panels.filters(rng.standard_normal((4, 3, 8, 8))))) == 4


# ------------------------------------------------------------------------------------------------------------ pictures


def test_enlarge_makes_blocks() -> None:
    picture = np.arange(4.0).reshape(2, 2)
    assert np.array_equal(enlarge(picture[None], 4)[0], np.kron(picture, np.ones((2, 2))))
    assert enlarge(np.zeros((5, 8, 8, 3)), 20).shape == (5, 20, 20, 3)


def test_smooth_is_linear_between_centres() -> None:
    assert np.allclose(smooth(np.full((2, 4, 4), 0.3), 9), 0.3)
    ramp = smooth(np.tile(np.arange(4.0), (4, 1)), 16)  # centres of cells at 1.5, 5.5, 9.5, 13.5
    assert np.allclose(ramp[0, [2, 6, 10]], [0.125, 1.125, 2.125])
    assert np.allclose(ramp[:, :2], 0.0)
    assert np.allclose(ramp[:, -2:], 3.0)


def test_ink_on_paper() -> None:
    stroke = np.zeros((1, 1, 4, 4))
    stroke[0, 0, 1] = 1.0
    assert np.array_equal(on_paper(stroke, dark=True)[0, 1], np.zeros((4, 3)))
    assert np.array_equal(on_paper(1.0 - stroke, dark=False)[0, 1], np.zeros((4, 3)))  # it was on paper already
    colour = np.random.default_rng(0).random((2, 3, 4, 4)) * 0.2
    assert np.array_equal(on_paper(colour, dark=True), colour.transpose(0, 2, 3, 1))


def test_a_mosaic_keeps_its_cells_apart() -> None:
    cells = np.arange(6.0).reshape(2, 3, 1, 1) * np.ones((2, 3, 2, 2))
    whole = mosaic(cells, 1, paper=-1.0)
    assert whole.shape == (5, 8)
    assert np.array_equal(whole[:2, :2], cells[0, 0])
    assert np.array_equal(whole[3:, 6:], cells[1, 2])
    assert np.all(whole[2] == -1.0)
    assert np.all(whole[:, 2] == -1.0)
