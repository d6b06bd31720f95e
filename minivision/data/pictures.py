"""Picture files to bytes with Pillow, held to PNG and JPEG: every failure is a DataError that names the file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .files import absent_package, data_error

READ = (".png", ".jpg", ".jpeg")
NOT_READ = (".avif", ".bmp", ".gif", ".heic", ".jp2", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
GREY, COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # Pillow's modes of 8 bits a channel
BROKEN = (OSError, SyntaxError, ValueError, EOFError)  # what Pillow raises on broken files


def is_picture(path: Path) -> bool:
    """Whether a file of a class folder is PNG or JPEG by its name; DataError for images that would be left out, and folders."""
    if path.is_dir():
        raise data_error(f"{path} is a folder inside a class folder", expected="image files only")
    if path.suffix.lower() in NOT_READ:
        raise data_error(f"{path} is neither PNG nor JPEG, the formats that are read", hint="convert it, or move it elsewhere")
    return path.suffix.lower() in READ


def read_pictures(files: list[Path], size: int | None) -> np.ndarray:
    """-> (N, C, H, W) of uint8, at size x size or, without it, the one size that all must have; C = 1 where all are grey."""
    first, _ = read_picture(files[0], size)
    pixels, colour = np.empty((len(files), *first.shape), np.uint8), False
    for place, file in zip(pixels, files, strict=True):
        picture, grey = read_picture(file, size)
        if picture.shape != first.shape:
            problem = f"{file} is {_measure(picture)}, but {files[0]} is {_measure(first)}"
            raise data_error(problem, hint="bring them to one size: folder:DIR?size=64")
        place[...], colour = picture, colour or not grey
    return pixels if colour else pixels[:, :1].copy()


def read_picture(path: Path, size: int | None) -> tuple[np.ndarray, bool]:
    """-> (3, H, W) of uint8, whether it is grey; turned upright by its EXIF tag; what is transparent is laid on white."""
    try:
        from PIL import Image
    except ImportError as error:
        raise absent_package("Pillow", "image folders", error) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", module="PIL.TiffImagePlugin")  # a damaged EXIF tag: the picture stays as it lies
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                return _decode(path, image, size), image.mode in GREY
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise data_error(f"{path} is too large, a mistake or a decompression bomb: {error}", hint="scale it down") from error
    except DataError:
        raise
    except BROKEN as error:
        hint = "fetch or convert it again, or remove it"
        raise data_error(f"{path} cannot be read as PNG or JPEG: {error}", hint=hint) from error


def _decode(path: Path, image: Any, size: int | None) -> np.ndarray:
    from PIL import Image, ImageOps

    if image.mode not in GREY + COLOUR:
        raise data_error(f"{path} has pixels of mode {image.mode}", expected="8 bits a channel", hint="convert it")
    image = ImageOps.exif_transpose(image)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    image = image if size is None else ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


def _measure(picture: np.ndarray) -> str:
    return f"{picture.shape[2]} x {picture.shape[1]} pixels"
