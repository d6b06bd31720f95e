"""Drawn shapes: right to the pixel, the same for a seed, and usable for every task."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minivision as mv
from minivision.cli import main
from minivision.data import Thing, scenes, shapes

AREAS = {  # of radius 1, by geometry
    "circle": np.pi,
    "ring": np.pi * (1.0 - 0.25),
    "square": 2.0,
    "cross": 4 * 0.28 * 0.96 * 2 - 4 * 0.28**2,
    "triangle": 3 * np.sqrt(3) / 4,
    "star": 5 * 0.38 * np.sin(np.pi / 5),
}


@pytest.mark.parametrize("shape", shapes.SHAPES)
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_a_shape_covers_its_area_and_turns_with_its_angle(shape, angle):
    share = shapes.coverage(Thing(shape, "red", 32.0, 32.0, 20.0, angle), 64)
    assert share.sum() == pytest.approx(AREAS[shape] * 20.0**2, rel=0.03)
    assert 0.0 <= share.min() <= share.max() == 1.0


def test_a_triangle_points_up_and_turns_clockwise():
    rows = shapes.coverage(Thing("triangle", "red", 32.0, 32.0, 20.0, 0.0), 64).sum(1)
    assert rows[:14].sum() > 0
    assert rows[45:].sum() == 0
    columns = shapes.coverage(Thing("triangle", "red", 32.0, 32.0, 20.0, np.pi / 2), 64).sum(0)
    assert columns[50:].sum() > 0
    assert columns[:20].sum() == 0


def test_boxes_and_masks_are_those_of_what_is_seen():
    ground = np.full((3, 32, 32), 100.0)
    below, above = (Thing("square", colour, x, 12.0, 6.0 * np.sqrt(2.0), 0.0) for colour, x in (("red", 12.0), ("blue", 18.0)))
    scene = shapes.paint((below, above), ground)
    assert not (scene.masks[0] & scene.masks[1]).any()
    for i, thing in enumerate(scene.things):
        colour = np.array(shapes.COLOURS[thing.colour], np.uint8)[:, None, None]
        np.testing.assert_array_equal(scene.masks[i], (scene.pixels == colour).all(0))  # the sides lie between pixels
        rows, columns = np.nonzero(scene.masks[i])
        assert scene.boxes[i].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert (scene.pixels[:, :4] == 100).all()


def test_a_caption_reads_from_left_to_right():
    things = (Thing("square", "red", 24.0, 16.0, 8.0, 0.0), Thing("star", "orange", 6.0, 16.0, 4.0, 0.0))
    scene = shapes.paint(things, np.zeros((3, 32, 32)))
    assert scene.caption == "a small orange star left of a large red square"
    assert scene.labels.tolist() == [shapes.SHAPES.index("square"), shapes.SHAPES.index("star")]


def test_a_seed_gives_the_same_pictures_and_another_one_others():
    one, again, other = (np.stack([scene.pixels for scene in scenes(5, seed)]) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.5


def test_nothing_is_nearly_hidden_and_everything_is_in_the_picture():
    for scene in scenes(60, seed=1, size=48, most=4):
        assert scene.pixels.shape == (3, 48, 48)
        assert scene.pixels.dtype == np.uint8
        assert 1 <= len(scene.things) <= 4
        assert scene.masks.shape == (len(scene.things), 48, 48)
        assert (scene.masks.sum((1, 2)) > 10).all()
        assert (scene.boxes >= 0).all()
        assert (scene.boxes <= 48).all()
    assert {len(scene.things) for scene in scenes(60, seed=1, size=48, most=4)} == {1, 2, 3, 4}


def test_every_shape_and_colour_comes_as_often_as_any_other():
    things = [scene.things[0] for scene in scenes(600, most=1)]
    for kind, kinds in ("shape", shapes.SHAPES), ("colour", shapes.COLOURS):
        counts = np.array([sum(getattr(thing, kind) == name for thing in things) for name in kinds])
        expected = len(things) / len(kinds)
        assert np.sum((counts - expected) ** 2 / expected) < 30  # chi squared with 5 or 7 degrees: one in 10,000


def test_as_a_dataset_of_one_and_of_many_labels():
    one = mv.data.load("shapes?train=20&test=10&size=24", seed=2)
    assert (one.image_shape, one.train_labels.shape, len(one.test_pixels)) == ((3, 24, 24), (20,), 10)
    many = mv.data.load("shapes?train=20&test=10&objects=3", seed=2)
    assert (many.train_labels.shape, set(many.train_labels.ravel())) == ((20, 6), {0, 1})
    drawn = scenes(30, seed=2, size=32, most=3)
    np.testing.assert_array_equal(many.test_labels[0].nonzero()[0], np.unique(drawn[20].labels))
    np.testing.assert_array_equal(many.train_pixels[3], drawn[3].pixels)


@pytest.mark.parametrize("spec", ["shapes?size=8", "shapes?sizes=32", "shapes?train=0", "shapes?objects=x", "shapes?test=-1"])
def test_an_option_that_there_is_not_is_refused_with_those_there_are(spec):
    with pytest.raises(mv.DataError, match=r"shapes has no option(.|\n)*size=N, N from 16 to 256; objects=N"):
        mv.data.load(spec)


@pytest.mark.parametrize("spec", ["shapes:here", "digits?size=3"])
def test_embedded_data_has_no_folder(spec):
    with pytest.raises(mv.DataError, match=r"takes no (folder|options)"):
        mv.data.load(spec)


@pytest.mark.parametrize("call", [(-1, 0), (1, -1), (1, 0, 4), (1, 0, 32, 0)])
def test_scenes_that_cannot_be_drawn_are_refused(call):
    with pytest.raises(ValueError, match="scenes: count and seed from 0"):
        scenes(*call)


@pytest.mark.parametrize("spec", ["shapes?train=48&test=24&size=16", "shapes?train=48&test=24&size=16&objects=2"])
def test_a_network_trains_on_them_through_the_command(spec, tmp_path):
    assert main(["train", "resnet_digits", "--data", spec, "--out", str(tmp_path), "--epochs", "2"]) == 0
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert ("mean_average_precision" in found) == ("objects" in spec)
    assert ("top5_accuracy" in found) == ("objects" not in spec)
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
