"""folder:DIR on small PNG and JPEG files: what is read, how it is resized and split, and what is refused."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from minivision.data import load
from minivision.data.pictures import read_picture
from minivision.errors import DataError

Image = pytest.importorskip("PIL.Image", reason="image folders are read with Pillow, of the extra data")
RNG = np.random.default_rng(0)


def picture(height: int = 6, width: int = 8, channels: int = 3) -> np.ndarray:
    """Random bytes (H, W, C), or (H, W) for one channel."""
    return RNG.integers(0, 256, (height, width, channels), np.uint8).squeeze(-1 if channels == 1 else ())


def save(path: Path, array: np.ndarray, **options) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return array


def classes(folder: Path, count: int = 5, **shape: int) -> dict[str, list[np.ndarray]]:
    """`count` PNG files in each of two class folders; returns their pixels by class."""
    return {name: [save(folder / name / f"{i}.png", picture(**shape)) for i in range(count)] for name in ("cat", "dog")}


def refused(spec: str, *parts: str) -> None:
    """Loads a spec that must be refused with a message that holds each of the parts."""
    with pytest.raises(DataError) as caught:
        load(spec)
    for part in parts:
        assert part in str(caught.value)


# ---- reading


@pytest.mark.parametrize("tests", ["test", "val"])
def test_training_and_test_folders_are_read_exactly(tmp_path, tests):
    train, test = classes(tmp_path / "train", 3), classes(tmp_path / tests, 2)
    data = load(f"folder:{tmp_path}")
    for written, pixels, labels in ((train, data.train_pixels, data.train_labels), (test, data.test_pixels, data.test_labels)):
        np.testing.assert_array_equal(pixels.transpose(0, 2, 3, 1), [*written["cat"], *written["dog"]])
        np.testing.assert_array_equal(labels, np.repeat([0, 1], len(written["cat"])))
    assert (data.name, data.classes, data.image_shape) == (tmp_path.name, ["cat", "dog"], (3, 6, 8))
    assert data.augmentation.flip


def test_class_folders_alone_are_split_by_seed(tmp_path):
    written = classes(tmp_path, 10)
    data, again, other = (load(f"folder:{tmp_path}", seed) for seed in (1, 1, 2))
    assert (len(data.train_labels), np.bincount(data.test_labels).tolist()) == (16, [2, 2])
    for label, name in enumerate(data.classes):
        found = np.concatenate([data.train_pixels[data.train_labels == label], data.test_pixels[data.test_labels == label]])
        assert sorted(p.tobytes() for p in found.transpose(0, 2, 3, 1)) == sorted(p.tobytes() for p in written[name])
    np.testing.assert_array_equal(again.test_pixels, data.test_pixels)
    assert not np.array_equal(other.test_pixels, data.test_pixels)


@pytest.mark.parametrize("coloured", ["train/cat/0.png", "test/dog/0.png"])  # the first and the last that are read
def test_grey_images_have_one_channel_and_a_colour_image_makes_three(tmp_path, coloured):
    written = classes(tmp_path / "train", 2, channels=1), classes(tmp_path / "test", 1, channels=1)
    data = load(f"folder:{tmp_path}")
    assert data.image_shape == (1, 6, 8)
    np.testing.assert_array_equal(data.train_pixels[:, 0], [*written[0]["cat"], *written[0]["dog"]])
    save(tmp_path / coloured, picture())
    data = load(f"folder:{tmp_path}")
    assert data.image_shape == (3, 6, 8)
    np.testing.assert_array_equal(data.train_pixels[1], [written[0]["cat"][1]] * 3)


def test_jpeg_files_are_read(tmp_path):
    smooth = np.add.outer(np.arange(0, 160, 10), np.arange(0, 90, 5)).astype(np.uint8)
    for name in ("a/1.jpg", "a/2.JPG", "b/1.jpeg", "b/2.JPEG"):
        save(tmp_path / name, smooth, quality=95)
    pixels = load(f"folder:{tmp_path}").train_pixels[:, 0].astype(int)
    assert pixels.shape == (2, 16, 18)
    assert np.abs(pixels - smooth).max() <= 3


def test_hidden_and_other_files_are_passed_over(tmp_path):
    classes(tmp_path)
    for name in (".DS_Store", "cat/.hidden.png", "cat/Thumbs.db", "dog/notes.txt", "README.md", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    data = load(f"folder:{tmp_path}")
    assert (data.classes, len(data.train_labels) + len(data.test_labels)) == (["cat", "dog"], 10)


def test_size_scales_the_shorter_side_and_crops_to_the_centre(tmp_path):
    """Three squares of one colour each, side by side and one above another: the middle one is left."""
    bands = np.repeat(np.array([10, 120, 240], np.uint8), 12)
    save(tmp_path / "a" / "1.png", np.tile(bands, (12, 1)))
    save(tmp_path / "a" / "2.png", np.tile(bands[:, None], (1, 12)))
    for name in "34":
        save(tmp_path / "b" / f"{name}.png", np.full((3, 2), 120, np.uint8))
    data = load(f"folder:{tmp_path}?size=4")
    pixels = np.concatenate([data.train_pixels, data.test_pixels])
    assert pixels.shape == (4, 1, 4, 4)
    assert np.abs(pixels[:, :, 1:3, 1:3].astype(int) - 120).max() <= 1


def test_flip_can_be_forbidden(tmp_path):
    classes(tmp_path)
    data = load(f"folder:{tmp_path}?size=5&flip=no")
    assert not data.augmentation.flip
    assert data.augmentation.edge
    assert data.image_shape == (3, 5, 5)


def test_what_is_transparent_is_laid_on_white(tmp_path):
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 0]]], np.uint8)
    save(tmp_path / "rgba.png", rgba)
    pixels, grey = read_picture(tmp_path / "rgba.png", None)
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), [[[200, 100, 0], [255, 255, 255]]])
    assert not grey
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([1, 2, 3, 4, 5, 6])
    palette.save(tmp_path / "palette.png", transparency=1)
    pixels, _ = read_picture(tmp_path / "palette.png", None)
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), [[[1, 2, 3], [255, 255, 255]]])
    save(tmp_path / "la.png", np.array([[[7, 255], [7, 0]]], np.uint8))
    pixels, grey = read_picture(tmp_path / "la.png", None)
    np.testing.assert_array_equal(pixels[0], [[7, 255]])
    assert grey


def test_photographs_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter clockwise
    written = save(tmp_path / "turned.png", picture(), exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "turned.png", None)[0].transpose(1, 2, 0), np.rot90(written, -1))


# ---- refusing


def test_layouts_that_are_not_whole(tmp_path):
    save(tmp_path / "train" / "cat" / "1.png", picture())
    refused(f"folder:{tmp_path}", "has train, but neither test nor val", "expected: DIR/train/CLASS")
    refused(f"folder:{tmp_path / 'train'}", "has one class folder only, cat")
    refused(f"folder:{tmp_path / 'train' / 'cat'}", "has no class folders", "found: 1.png")
    (tmp_path / "train").rename(tmp_path / "val")
    refused(f"folder:{tmp_path}", "has val, but no train")


def test_test_folders_of_other_classes(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "test")
    (tmp_path / "test" / "cat").rename(tmp_path / "test" / "cats")
    refused(f"folder:{tmp_path}", "the same class folders", "cat, cats")


@pytest.mark.parametrize("parts", [["train", "test"], ["."]])
def test_empty_class_folders_are_named(tmp_path, parts):
    for part in parts:
        classes(tmp_path / part)
        (tmp_path / part / "bird").mkdir()
    refused(f"folder:{tmp_path}", str(tmp_path / parts[0] / "bird"), "found: 0")


def test_one_image_cannot_be_split(tmp_path):
    classes(tmp_path)
    save(tmp_path / "bird" / "1.png", picture())
    refused(f"folder:{tmp_path}", str(tmp_path / "bird"), "found: 1", "one to train and one to test")


def test_folders_within_class_folders_are_refused(tmp_path):
    classes(tmp_path / "training")
    classes(tmp_path / "testing")
    refused(f"folder:{tmp_path}", str(tmp_path / "testing" / "cat"), "inside a class folder")


def test_images_of_several_sizes_need_the_option(tmp_path):
    classes(tmp_path)
    save(tmp_path / "dog" / "3.png", picture(7, 9))
    refused(f"folder:{tmp_path}", str(tmp_path / "dog" / "3.png"), "9 x 7 pixels", "8 x 6 pixels", "?size=64")
    assert load(f"folder:{tmp_path}?size=6").image_shape == (3, 6, 6)


@pytest.mark.parametrize(
    "option", ["size=0", "size=-3", "size=big", "size=", "size", "size=4097", "size=٣", "flip=maybe", "crop=3"]
)
def test_unknown_options_list_the_known_ones(tmp_path, option):
    classes(tmp_path)
    refused(f"folder:{tmp_path}?{option}", repr(option), "size=N", "flip=yes or flip=no")


@pytest.mark.parametrize("suffix", ["gif", "webp", "TIFF"])
def test_images_of_other_formats_are_not_left_out_in_silence(tmp_path, suffix):
    classes(tmp_path)
    (tmp_path / "cat" / f"9.{suffix}").write_bytes(b"whatever")
    refused(f"folder:{tmp_path}", str(tmp_path / "cat" / f"9.{suffix}"), "neither PNG nor JPEG")


@pytest.mark.parametrize("other", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_under_the_name_of_png_are_refused(tmp_path, other):
    classes(tmp_path)
    save(tmp_path / "dog" / "2.png", picture(), format=other)
    refused(f"folder:{tmp_path}", str(tmp_path / "dog" / "2.png"), "cannot be read as PNG or JPEG")


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_truncated_images_are_named_wherever_they_end(tmp_path, form):
    path = tmp_path / "image.png"
    save(path, picture(16, 16), format=form)
    content = path.read_bytes()
    for length in range(0, len(content) - 20, 7):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"image\.png cannot be read as PNG or JPEG"):
            read_picture(path, None)


def attempt(path: Path) -> np.ndarray | DataError:
    """The picture, or why it is refused; any other error goes on."""
    try:
        return read_picture(path, None)[0]
    except DataError as error:
        return error


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_corrupt_images_are_read_or_refused_but_raise_nothing_else(tmp_path, form):
    path, rng, results = tmp_path / "image.png", np.random.default_rng(0), []
    exif = Image.Exif()
    exif[0x0112] = 6
    save(path, picture(16, 16), format=form, exif=exif)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(200):
        damaged = content.copy()
        damaged[rng.integers(0, len(content), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        results.append(attempt(path))
    refusals = [str(result) for result in results if isinstance(result, DataError)]
    assert len(refusals) > 20
    assert all(str(path) in refusal for refusal in refusals)


def test_sixteen_bits_are_not_cut_to_eight(tmp_path):
    save(tmp_path / "deep.png", (picture(channels=1).astype(np.uint16) << 8))
    with pytest.raises(DataError, match=r"deep\.png has pixels of mode I(.|\n)*8 bits a channel"):
        read_picture(tmp_path / "deep.png", None)


@pytest.mark.parametrize("side", [60_000, 12_000])  # above twice Pillow's limit, an error there; and above it, a warning there
def test_decompression_bombs_are_refused_unpacked(tmp_path, side):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    classes(tmp_path)
    header = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "cat" / "2.png").write_bytes(bomb)
    refused(f"folder:{tmp_path}", str(tmp_path / "cat" / "2.png"), "decompression bomb", str(side * side))


def test_absent_pillow_says_what_to_install(tmp_path, monkeypatch):
    classes(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    refused(f"folder:{tmp_path}", "Pillow", 'pip install "minivision[data]"')
