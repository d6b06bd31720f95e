"""Class folders of PNG and JPEG images, read whole into memory as bytes: folder:DIR?size=64&flip=no."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from .augment import PHOTOGRAPHS
from .dataset import Dataset, stratified_split
from .files import check_folder, data_error, entries, holding
from .pictures import is_picture, read_pictures

LAYOUT = "DIR/train/CLASS/*.png and DIR/test/CLASS/*.png (or val), or DIR/CLASS/*.png alone, which is split by seed; PNG or JPEG"
LARGEST_SIZE = 4096


def load_folder(place: str, seed: int) -> Dataset:
    """folder:DIR with DIR/train and DIR/test (or DIR/val), each with one folder a class; or with the class folders alone.

    Options after ?, joined by &: size=N (each image is scaled to N pixels on its shorter side and cropped to the centre; without
    it all must have one size), flip=no (mirror none in training, for letters and digits). Images are grey (C = 1) where all of
    them are, colour (C = 3) otherwise. DataError names the file or folder at fault.
    """
    directory, _, options = place.partition("?")
    size, flip = _parse_options(options)
    folder = Path(directory).expanduser()
    check_folder(folder, LAYOUT)
    classes, files, labels, train, test = _find_all(*_find_parts(folder), seed)
    pixels, moved = read_pictures(files, size), replace(PHOTOGRAPHS, flip=flip)
    return Dataset(folder.resolve().name, pixels[train], labels[train], pixels[test], labels[test], classes, augmentation=moved)


def _parse_options(options: str) -> tuple[int | None, bool]:
    """size=N&flip=no -> N or None, whether to mirror."""
    size, flip = None, True
    for option in filter(None, options.split("&")):
        name, _, value = option.partition("=")
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 5 else 0
        if name == "size" and 1 <= number <= LARGEST_SIZE:
            size = number
        elif name == "flip" and value in ("yes", "no"):
            flip = value == "yes"
        else:
            raise data_error(
                f"folder has no option {option!r}", expected=f"size=N, N from 1 to {LARGEST_SIZE}; flip=yes or flip=no"
            )
    return size, flip


def _find_parts(folder: Path) -> tuple[Path, Path | None]:
    """The folder of the training images and that of the test images, None where one set is to be split."""
    train, tests = folder / "train", [part for part in (folder / "test", folder / "val") if part.is_dir()]
    if train.is_dir() != bool(tests):
        problem = (
            f"{folder} has train, but neither test nor val" if train.is_dir() else f"{folder} has {tests[0].name}, but no train"
        )
        raise data_error(problem, expected=LAYOUT, hint="to have one set split, give the folder that holds its class folders")
    return (train, tests[0]) if tests else (folder, None)


def _find_all(train: Path, test: Path | None, seed: int) -> tuple[list[str], list[Path], np.ndarray, np.ndarray, np.ndarray]:
    """The classes, the files of both parts and their labels, and the numbers of those to train and of those to test."""
    classes = _find_classes(train)
    files, labels = _list_pictures(train, classes, least=1 if test else 2)
    if test is None:
        return classes, files, labels, *stratified_split(labels, seed)
    odd = sorted(set(classes) ^ set(_find_classes(test)))
    if odd:
        raise data_error(f"{train} and {test} should have the same class folders", found=f"in one alone: {', '.join(odd[:8])}")
    unseen, answers = _list_pictures(test, classes, least=1)
    numbers = np.arange(len(files) + len(unseen))
    return classes, files + unseen, np.concatenate([labels, answers]), numbers[: len(files)], numbers[len(files) :]


def _find_classes(folder: Path) -> list[str]:
    classes = [entry.name for entry in entries(folder) if entry.is_dir()]
    if len(classes) < 2:
        problem = f"{folder} has one class folder only, {classes[0]}" if classes else f"{folder} has no class folders"
        raise data_error(problem, expected=f"{LAYOUT}; two classes or more", found=holding(folder) or "an empty folder")
    return classes


def _list_pictures(folder: Path, classes: list[str], least: int) -> tuple[list[Path], np.ndarray]:
    """The image files of all classes, in order of their names, and their labels (N)."""
    found = [[entry for entry in entries(folder / name) if is_picture(entry)] for name in classes]
    for name, files in zip(classes, found, strict=True):
        if len(files) < least:
            expected = "two or more in each class, one to train and one to test" if least == 2 else "one or more in each class"
            raise data_error(f"{folder / name}: PNG or JPEG images found: {len(files)}", expected=expected)
    return [file for files in found for file in files], np.repeat(np.arange(len(classes)), [len(files) for files in found])
