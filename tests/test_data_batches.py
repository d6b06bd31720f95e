"""Batches: what an epoch holds, in which order, and that it follows the given generator alone."""

from __future__ import annotations

import numpy as np
import pytest

from minivision.data import Augmentation, Dataset, batches


def colours(count: int = 40, size: tuple[int, int] = (6, 5), **options) -> Dataset:
    """Random colour images, of other mean and deviation in each channel; a fifth for the test."""
    rng = np.random.default_rng(5)
    pixels = (rng.integers(0, 256, (count, 3, *size)) // np.array([1, 2, 5])[:, None, None]).astype(np.uint8)
    labels, cut = np.arange(count) % 4, count * 4 // 5
    return Dataset("colours", pixels[:cut], labels[:cut], pixels[cut:], labels[cut:], list("abcd"), **options)


def test_test_batches_hold_everything_in_order():
    data = colours(45)
    got = list(batches(data, 4, train=False))
    for (images, labels), (rest, answers) in zip(got[1:], batches(data, 4, train=False, skip=1), strict=True):
        np.testing.assert_array_equal(images, rest)
        np.testing.assert_array_equal(labels, answers)
    assert [len(labels) for _, labels in got] == [4, 4, 1]
    np.testing.assert_array_equal(np.concatenate([images for images, _ in got]), np.asarray(data.test_images))
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in got]), data.test_labels)


def test_training_batches_hold_everything_once_with_their_labels():
    data = colours()
    got = list(batches(data, 5, np.random.default_rng(0), augment=False))
    assert [len(labels) for _, labels in got] == [5] * 6 + [2]
    images, labels = (np.concatenate(parts) for parts in zip(*got, strict=True))
    assert images.dtype == np.float32
    assert images.flags.c_contiguous
    assert not np.array_equal(images, np.asarray(data.train_images))  # shuffled
    where = [int(np.flatnonzero((np.asarray(data.train_images) == image).all((1, 2, 3)))[0]) for image in images]
    assert sorted(where) == list(range(32))
    np.testing.assert_array_equal(labels, data.train_labels[where])


def test_augmented_batches_move_images_and_keep_labels():
    data = colours()
    plain, moved = (list(batches(data, 8, np.random.default_rng(3), augment=augment)) for augment in (False, True))
    for (images, labels), (others, same) in zip(plain, moved, strict=True):
        np.testing.assert_array_equal(labels, same)
        assert images.shape == others.shape
        assert np.all(np.abs(images - others).max((1, 2, 3)) > 0.1)


def test_every_image_of_an_epoch_moves_in_its_own_way():
    pixels = np.repeat(colours().train_pixels[:1], 32, axis=0)
    data = Dataset("same", pixels, np.arange(32) % 2, pixels, np.arange(32) % 2, ["a", "b"])
    images = np.concatenate([images for images, _ in batches(data, 8, np.random.default_rng(0))])
    assert len(np.unique(images.reshape(32, -1), axis=0)) == 32


def test_augmentation_that_moves_nothing_leaves_the_batch():
    data = colours(augmentation=Augmentation(shift=0.0, rotation=0.0))
    for (images, _), (others, _) in zip(
        *(batches(data, 8, np.random.default_rng(3), augment=augment) for augment in (False, True)), strict=True
    ):
        np.testing.assert_array_equal(images, others)


def test_batches_are_drawn_from_the_given_generator_alone():
    data = colours()
    np.random.seed(0)  # noqa: NPY002  (the global generator must not matter)
    first = [images for images, _ in batches(data, 8, np.random.default_rng(1))]
    np.random.seed(1)  # noqa: NPY002
    again = [images for images, _ in batches(data, 8, np.random.default_rng(1))]
    other = [images for images, _ in batches(data, 8, np.random.default_rng(2))]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_an_interrupted_epoch_is_taken_up_bit_for_bit():
    data, rng = colours(), np.random.default_rng(1)
    state = rng.bit_generator.state
    whole = [list(batches(data, 8, rng)) for _ in range(2)]
    rng.bit_generator.state = state
    begun = batches(data, 8, rng)
    done = [next(begun)]  # stopped after one batch: the generator already stands where the next epoch begins
    next_state = rng.bit_generator.state
    rng.bit_generator.state = state
    rest = list(batches(data, 8, rng, skip=1))
    assert rng.bit_generator.state == next_state
    for (a, la), (b, lb) in zip(whole[0] + whole[1], done + rest + list(batches(data, 8, rng)), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(la, lb)


def test_batches_say_at_once_what_they_need():
    with pytest.raises(ValueError, match="batch_size=0"):
        batches(colours(), 0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="give rng"):
        batches(colours(), 8)
