"""Data: specs, the digits and their split, standardising, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivision.data import Dataset, load
from minivision.data.dataset import moments, stratified_split
from minivision.errors import DataError


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits", seed=0)


def colours(count: int = 40, size: tuple[int, int] = (6, 5)) -> Dataset:
    """Random colour images, of other mean and deviation in each channel; a fifth for the test."""
    rng = np.random.default_rng(5)
    pixels = (rng.integers(0, 256, (count, 3, *size)) // np.array([1, 2, 5])[:, None, None]).astype(np.uint8)
    labels, cut = np.arange(count) % 4, count * 4 // 5
    return Dataset("colours", pixels[:cut], labels[:cut], pixels[cut:], labels[cut:], list("abcd"))


def rows(*parts: np.ndarray) -> np.ndarray:
    """Images as sorted rows, to compare sets of images whatever their order."""
    flat = np.concatenate([part.reshape(len(part), -1) for part in parts])
    return flat[np.lexsort(flat.T)]


# ---- digits


def test_digits_are_all_there(digits):
    assert (len(digits.train_labels), len(digits.test_labels)) == (1437, 360)
    assert digits.image_shape == (1, 8, 8)
    assert digits.classes == [str(d) for d in range(10)]
    assert digits.train_labels.dtype == digits.test_labels.dtype == np.int64
    assert (digits.train_pixels.max(), digits.white) == (16, 16)


def test_digits_split_holds_each_scan_once(digits):
    sklearn_datasets = pytest.importorskip("sklearn.datasets", reason="the digits come with scikit-learn")
    source = sklearn_datasets.load_digits()
    with_labels = [
        np.concatenate([pixels.reshape(len(pixels), -1), labels[:, None]], 1)
        for pixels, labels in ((digits.train_pixels, digits.train_labels), (digits.test_pixels, digits.test_labels))
    ]
    expected = np.concatenate([source.data, source.target[:, None]], 1)
    np.testing.assert_array_equal(rows(*with_labels), rows(expected))


def test_digits_split_is_stratified(digits):
    test = np.bincount(digits.test_labels)
    total = test + np.bincount(digits.train_labels)
    assert np.abs(test - total * 360 / 1797).max() < 1.0


def test_digits_split_follows_the_seed(digits):
    again, other = load("digits", seed=0), load("digits", seed=1)
    np.testing.assert_array_equal(again.test_pixels, digits.test_pixels)
    np.testing.assert_array_equal(again.train_labels, digits.train_labels)
    assert not np.array_equal(other.test_pixels, digits.test_pixels)
    assert len(other.test_labels) == 360


def test_digits_are_standardised(digits):
    images = np.asarray(digits.train_images)
    assert images.dtype == np.float32
    assert abs(images.mean(dtype=np.float64)) < 1e-6
    assert abs(images.std(dtype=np.float64) - 1.0) < 1e-6


# ---- the split


def test_split_is_the_same_everywhere():
    """Raw bits of PCG64 with seed 7, sorted: computed with another PCG64, written out below."""
    labels = np.array([0, 1] * 5)
    bits = pcg64(7, 10)
    order = sorted(range(10), key=lambda i: bits[i])
    expected = sorted(next(i for i in order if labels[i] == label) for label in (0, 1))
    train, test = stratified_split(labels, seed=7)
    assert test.tolist() == expected
    assert sorted([*train, *test]) == list(range(10))


def pcg64(seed: int, count: int) -> list[int]:
    """PCG XSL RR 128/64 (O'Neill 2014), seeded as NumPy does, in plain integers."""
    mask, multiplier = (1 << 128) - 1, 0x2360ED051FC65DA44385DF649FCCF645
    words = [int(word) for word in np.random.SeedSequence(seed).generate_state(4, np.uint64)]
    start, increment = words[0] << 64 | words[1], ((words[2] << 64 | words[3]) << 1 | 1) & mask
    state, values = ((increment + start) * multiplier + increment) & mask, []
    for _ in range(count):
        state = (state * multiplier + increment) & mask
        mixed, turn = (state >> 64 ^ state) & (1 << 64) - 1, state >> 122
        values.append((mixed >> turn | mixed << (-turn & 63)) & (1 << 64) - 1)
    return values


@given(st.lists(st.integers(0, 4), min_size=10, max_size=200), st.integers(0, 2**64))
def test_split_is_exhaustive_disjoint_and_in_proportion(tail, seed):
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, *tail])
    train, test = stratified_split(labels, seed)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(labels)))
    counts, tests = np.bincount(labels), np.bincount(labels[test], minlength=5)
    assert np.all((tests >= 1) & (tests < counts))
    share = counts * -(-len(labels) // 5) / len(labels)
    assert np.all((np.abs(tests - share) < 1.0) | (tests == 1))


def test_split_refuses_a_negative_seed():
    with pytest.raises(ValueError, match="from 0, got -3"):
        load("digits", seed=-3)


# ---- standardising


def test_moments_equal_numpy_in_float64():
    pixels = colours(3000).train_pixels  # more than one piece
    mean, std = moments(pixels)
    np.testing.assert_allclose(mean, pixels.mean((0, 2, 3), dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(std, pixels.std((0, 2, 3), dtype=np.float64), rtol=1e-13)


def test_test_images_are_standardised_with_the_training_moments():
    data = colours()
    train = data.train_pixels / 255
    expected = (data.test_pixels / 255 - train.mean((0, 2, 3), keepdims=True)) / train.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(np.asarray(data.test_images), expected, atol=1e-5)


def test_images_are_indexed_like_an_array():
    data = colours()
    whole = np.asarray(data.train_images)
    assert data.train_images.shape == whole.shape == (32, 3, 6, 5)
    assert len(data.train_images) == 32
    for index in (3, slice(2, 7), [5, 1, 1], data.train_labels == 2):
        np.testing.assert_array_equal(data.train_images[index], whole[index])
    with pytest.raises(ValueError, match="computed"):
        data.train_images.__array__(copy=False)


def test_pictures_undo_standardising():
    data = colours()
    np.testing.assert_allclose(data.pictures(data.test_images[:]), data.test_pixels / 255, atol=1e-6)
    np.testing.assert_allclose(data.pictures(data.test_images[0]), data.test_pixels[0] / 255, atol=1e-6)
    far = data.pictures(np.full((3, 6, 5), 1e3, np.float32))
    assert far.min() == far.max() == 1.0


def test_a_channel_of_one_value_standardises_to_zero():
    pixels = np.full((4, 1, 2, 2), 77, np.uint8)
    data = Dataset("flat", pixels, np.array([0, 1, 0, 1]), pixels, np.array([0, 1, 0, 1]), ["a", "b"])
    np.testing.assert_allclose(np.asarray(data.train_images), 0.0, atol=1e-7)


# ---- errors


def dataset(**changes) -> Dataset:
    """A sound Dataset but for the changes."""
    pixels, labels = np.arange(48, dtype=np.uint8).reshape(4, 1, 3, 4), np.array([0, 1, 0, 1])
    parts = {"train_pixels": pixels, "train_labels": labels, "test_pixels": pixels, "test_labels": labels, "classes": ["a", "b"]}
    return Dataset("mine", **{**parts, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_pixels": np.zeros((4, 1, 3, 4), np.float32)}, r"mine, training: .*float32 \(4, 1, 3, 4\)"),
        ({"train_pixels": np.zeros((4, 3, 4), np.uint8)}, r"uint8 \(4, 3, 4\)"),
        ({"test_pixels": np.zeros((0, 1, 3, 4), np.uint8)}, r"mine, test: .*\(0, 1, 3, 4\)"),
        ({"test_pixels": np.zeros((4, 1, 4, 4), np.uint8)}, r"\(1, 3, 4\), but test images \(1, 4, 4\)"),
        ({"train_labels": np.array([0, 1, 0])}, r"mine, training: 4 images.*\(3,\)"),
        ({"train_labels": np.array([0.0, 1, 0, 1])}, "got float64"),
        ({"test_labels": np.array([0, 1, 2, 1])}, "mine, test: labels go from 0 to 1, but label number 2 is 2"),
        ({"test_labels": np.array([0, 1, 0, -1])}, "label number 3 is -1"),
    ],
)
def test_parts_that_do_not_fit_together(changes, message):
    dataset()
    with pytest.raises(DataError, match=message):
        dataset(**changes)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "did you mean digits"),
        ("cifar:here", "did you mean cifar10"),
        ("MNIST:here", "did you mean mnist"),
        ("folders:here", "did you mean folder"),
        ("mnist", "'mnist' does not say which folder"),
        ("folder:", "'folder:' does not say which folder"),
        ("digits:here", "digits takes no folder"),
    ],
)
def test_specs_that_are_not_known_list_those_that_are(spec, message):
    with pytest.raises(DataError, match=message) as caught:
        load(spec)
    for form in ("digits", "mnist:DIR", "cifar10:DIR", "folder:DIR"):
        assert f"  {form} " in str(caught.value)


def test_a_spec_like_none_gets_no_hint():
    with pytest.raises(DataError, match="no data is called 'zzz'") as caught:
        load("zzz")
    assert "did you mean" not in str(caught.value)


def test_absent_scikit_learn_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r'scikit-learn(.|\n)*pip install "minivision\[data\]"'):
        load("digits")


def test_importing_data_imports_neither_scikit_learn_nor_pillow():
    script = "import sys, minivision.data; print([m for m in ('sklearn', 'PIL', 'scipy', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
