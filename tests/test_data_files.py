"""MNIST's IDX files and CIFAR-10's binary version, read from tiny real files; and what is said of files that are not sound."""

from __future__ import annotations

import errno
import gzip
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minivision.data import load
from minivision.data.idx import read_idx
from minivision.errors import DataError

RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.integers(0, 256, (7, 4, 5), np.uint8), RNG.integers(0, 256, (3, 4, 5), np.uint8)
TRAIN_LABELS, TEST_LABELS = np.array([3, 1, 4, 1, 5, 9, 0], np.uint8), np.array([2, 6, 5], np.uint8)
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut in its header": lambda content: content[:9],
    "one byte short": lambda content: content[:-1],
    "cut in half": lambda content: content[: len(content) // 2],
    "one byte more": lambda content: content + b"\0",
}


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder: Path, joint: str = "-", zipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"train-images": TRAIN, "train-labels": TRAIN_LABELS, "t10k-images": TEST, "t10k-labels": TEST_LABELS}
    for name, array in arrays.items():
        path = folder / f"{name}{joint}idx{array.ndim}-ubyte{'.gz' * zipped}"
        path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    return folder


def write_cifar10(folder: Path) -> dict[str, np.ndarray]:
    """Six files of three records, and the names of the classes; returns the records."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    files = {name: RNG.integers(0, 256, (3, 3073), np.uint8) for name in names}
    for name, records in files.items():
        records[:, 0] %= 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return files


def refused(spec: str, *parts: str) -> str:
    """Loads a spec that must be refused with a message that holds each of the parts."""
    with pytest.raises(DataError) as caught:
        load(spec)
    for part in parts:
        assert part in str(caught.value)
    return str(caught.value)


# ---- IDX


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("joint", ["-", "."])
@pytest.mark.parametrize("inner", [".", "MNIST/raw"])
def test_mnist_is_read_exactly(tmp_path, joint, zipped, inner):
    write_mnist(tmp_path / inner, joint, zipped)
    data = load(f"mnist:{tmp_path}")
    np.testing.assert_array_equal(data.train_pixels, TRAIN[:, None])
    np.testing.assert_array_equal(data.test_pixels, TEST[:, None])
    np.testing.assert_array_equal(data.train_labels, TRAIN_LABELS)
    np.testing.assert_array_equal(data.test_labels, TEST_LABELS)
    assert data.train_labels.dtype == np.int64
    assert (data.name, data.image_shape, data.classes) == ("mnist", (1, 4, 5), [str(d) for d in range(10)])
    assert not data.augmentation.flip


def test_gzip_is_told_by_content_not_by_name(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(load(f"mnist:{tmp_path}").train_pixels[:, 0], TRAIN)


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    write_mnist(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert len(load("mnist:~/here").train_labels) == 7


@pytest.mark.parametrize("spec", ["mnist", "cifar10", "folder"])
def test_folders_absent_empty_or_files(tmp_path, spec):
    refused(f"{spec}:{tmp_path / 'none'}", str(tmp_path / "none"), "does not exist", "expected: a folder with")
    refused(f"{spec}:{tmp_path}", str(tmp_path), "is empty", "expected: a folder with")
    (tmp_path / "archive.tar.gz").write_bytes(b"\x1f\x8b")
    refused(f"{spec}:{tmp_path / 'archive.tar.gz'}", "is not a folder")


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_an_absent_idx_file_is_named_with_its_place(tmp_path, name):
    write_mnist(tmp_path)
    (tmp_path / name).unlink()
    dotted = name.replace("-idx", ".idx")
    refused(f"mnist:{tmp_path}", f"has no file {name}", dotted, f"{name}.gz", f"put {name} in {tmp_path}", "found: t")


@pytest.mark.parametrize("damage", DAMAGE)
def test_idx_files_of_another_length(tmp_path, damage):
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    refused(f"mnist:{tmp_path}", str(path))


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name != "one byte more"])  # gzip ignores zeros that follow
def test_gzip_files_of_another_length(tmp_path, damage):
    write_mnist(tmp_path, zipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    refused(f"mnist:{tmp_path}", str(path))


def test_no_flipped_byte_of_a_gzip_file_passes_unnoticed(tmp_path):
    sound = gzip.compress(idx(TRAIN), mtime=0)
    path = tmp_path / "images.gz"
    for place in range(10, len(sound)):  # after the header, whose time and system mean nothing
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 0x55]) + sound[place + 1 :])
        with pytest.raises(DataError, match=r"images\.gz"):
            read_idx(path, ndim=3)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"\n <html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"PK\x03\x04 and so on", "a zip archive"),
        (b"\x80\x04\x95 and so on", "a Python pickle"),
        (gzip.compress(gzip.compress(idx(TRAIN))), "a gzip archive"),
        (idx(TRAIN_LABELS), "first bytes 00 00 08 01"),
        (struct.pack(">4B3I", 0, 0, 13, 3, 1, 1, 1) + b"1234", "first bytes 00 00 0d 03"),
    ],
)
def test_files_that_are_no_idx_say_what_they_look_like(tmp_path, content, found):
    write_mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    refused(f"mnist:{tmp_path}", "train-images-idx3-ubyte", "first bytes 00 00 08 03", f"found: {found}")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_header_that_promises_too_much_allocates_nothing(tmp_path, zipped):
    """Four billion cubed bytes: more than any machine has, so allocating first could not end in a DataError."""
    content = struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3) + bytes(100)
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=r"4294967295 x 4294967295 x 4294967295 = .* fewer"):
        read_idx(path, ndim=3)


@pytest.mark.parametrize("shape", [(0, 4, 5), (7, 0, 5), (2**32 - 1, 0, 2**32 - 1)])
def test_an_idx_file_without_elements_is_refused(tmp_path, shape):
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, *shape))
    with pytest.raises(DataError, match="= 0 bytes, and it holds none"):
        read_idx(path, ndim=3)


def test_highly_compressible_images_are_read(tmp_path):
    """Zeros reach the greatest ratio of deflate: the bound on what a gzip file may promise must not refuse them."""
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx(np.zeros((5000, 28, 28), np.uint8)), 9))
    assert read_idx(path, ndim=3).shape == (5000, 28, 28)


def test_counts_of_images_and_labels_must_agree(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(TRAIN_LABELS))
    refused(f"mnist:{tmp_path}", "t10k-images-idx3-ubyte has 3 images", "t10k-labels-idx1-ubyte has 7 labels")


def test_mnist_labels_out_of_range(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([9, 0, 10], np.uint8)))
    refused(f"mnist:{tmp_path}", "t10k-labels-idx1-ubyte: labels go from 0 to 9, but label number 2 is 10")


def test_training_and_test_images_must_have_one_size(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(TEST.transpose(0, 2, 1)))
    refused(f"mnist:{tmp_path}", "(1, 4, 5)", "(1, 5, 4)")


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def forbid(path: Path, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    write_mnist(tmp_path)
    monkeypatch.setattr(Path, "open", forbid)
    refused(f"mnist:{tmp_path}", f"{tmp_path / 'train-images-idx3-ubyte'} cannot be read: Permission denied")


# ---- CIFAR-10


@pytest.mark.parametrize("inner", [".", "cifar-10-batches-bin"])
def test_cifar10_is_read_exactly(tmp_path, inner):
    files = write_cifar10(tmp_path / inner)
    data = load(f"cifar10:{tmp_path}")
    train = np.concatenate([files[f"data_batch_{i}"] for i in range(1, 6)])
    for records, pixels, labels in (
        (train, data.train_pixels, data.train_labels),
        (files["test_batch"], data.test_pixels, data.test_labels),
    ):
        np.testing.assert_array_equal(labels, records[:, 0])
        np.testing.assert_array_equal(pixels[:, 0, 0], records[:, 1:33])  # the first row of red
        np.testing.assert_array_equal(pixels[:, 2, 31, 31], records[:, 3072])  # the last pixel of blue
        np.testing.assert_array_equal(pixels.reshape(-1, 3072), records[:, 1:])
    assert (data.image_shape, data.classes) == ((3, 32, 32), NAMES)
    assert data.mean.shape == data.std.shape == (3,)
    assert data.augmentation.flip


@pytest.mark.parametrize("name", ["data_batch_1.bin", "data_batch_5.bin", "test_batch.bin", "batches.meta.txt"])
def test_an_absent_cifar10_file_is_named_with_its_place(tmp_path, name):
    write_cifar10(tmp_path)
    (tmp_path / name).unlink()
    refused(f"cifar10:{tmp_path}", f"has no file {name}", "cifar-10-binary.tar.gz", f"put {name} in {tmp_path}")


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin"])
def test_cifar10_files_of_another_length(tmp_path, name, damage):
    write_cifar10(tmp_path)
    path = tmp_path / name
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    refused(f"cifar10:{tmp_path}", str(path), "records of 3073 bytes", f"{path.stat().st_size} bytes")


def test_cifar10_files_that_are_something_else(tmp_path):
    write_cifar10(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(b"<html>404</html>")
    refused(f"cifar10:{tmp_path}", "test_batch.bin", "an HTML page")


def test_cifar10_labels_out_of_range(tmp_path):
    records = write_cifar10(tmp_path)["data_batch_2"]
    records[2, 0] = 10
    (tmp_path / "data_batch_2.bin").write_bytes(records.tobytes())
    refused(f"cifar10:{tmp_path}", "data_batch_2.bin: labels go from 0 to 9, but label number 2 is 10")


class Harmful:
    """Unpickling it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("inner", [".", "cifar-10-batches-py"])
def test_the_python_version_of_cifar10_is_refused_unread(tmp_path, inner):
    """The pickles would leave a file behind if anything loaded them."""
    place, mark = tmp_path / inner, tmp_path / "mark"
    place.mkdir(exist_ok=True)
    harmful = pickle.dumps(Harmful(mark))
    for name in ("batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6))):
        (place / name).write_bytes(harmful)
    refused(f"cifar10:{tmp_path}", "Python version", "never read", "cifar-10-binary.tar.gz")
    assert not mark.exists()


def test_the_binary_version_is_read_beside_the_python_one(tmp_path):
    write_cifar10(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80\x02")
    assert len(load(f"cifar10:{tmp_path}").train_labels) == 15


@pytest.mark.parametrize(("names", "count"), [([], 0), (NAMES[:9], 9), ([*NAMES, "yacht"], 11)])
def test_cifar10_needs_ten_names(tmp_path, names, count):
    write_cifar10(tmp_path)
    (tmp_path / "batches.meta.txt").write_text("\n".join(names))
    refused(f"cifar10:{tmp_path}", f"batches.meta.txt has {count} names", "10 classes")
