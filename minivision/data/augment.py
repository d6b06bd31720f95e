"""Augmentation: small random shifts, rotations and mirror images, as one bilinear resampling of the whole batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """How far training images are moved.

    shift: at most this part of the height and width, each way; rotation: at most these degrees, each way; flip: mirror half
    of the images; edge: what comes into the picture repeats its border (for photographs), otherwise it is 0, black.
    """

    shift: float = 0.05
    rotation: float = 10.0
    flip: bool = False
    edge: bool = False

    def draw(self, rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
        """Random transforms (count, 2, 3), uniform in the range of each; takes four numbers an image from `rng`."""
        turn, down, right, mirror = rng.uniform(-1.0, 1.0, (4, count))
        mirrored = (mirror < 0.0) & self.flip
        return transforms(self.rotation * turn, self.shift * height * down, self.shift * width * right, mirrored)

    def apply(self, images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
        """images (B, C, H, W), matrices (B, 2, 3) from `draw` -> float32 (B, C, H, W)."""
        return resample(images, matrices, "edge" if self.edge else "constant")


INK = Augmentation()  # bright on black, and left is not right
PHOTOGRAPHS = Augmentation(shift=0.1, rotation=5.0, flip=True, edge=True)


def transforms(degrees: np.ndarray, down: np.ndarray, right: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Mirror left and right, turn counter-clockwise by degrees, then move by pixels: each (B) -> matrices (B, 2, 3).

    A matrix takes (y, x, 1), a place in the result measured from the centre, to the place in the image that it comes from:
    p' = F R^-1 (p - t), with R^-1 = [[cos, sin], [-sin, cos]] as y points down.
    """
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    side = np.where(mirrored, -1.0, 1.0)
    rows = [[cos, sin, -(cos * down + sin * right)], [-sin * side, cos * side, side * (sin * down - cos * right)]]
    return np.moveaxis(np.array(rows), -1, 0)


def resample(images: np.ndarray, matrices: np.ndarray, padding: str = "constant") -> np.ndarray:
    """Bilinear: images (B, C, H, W), matrices (B, 2, 3) -> float32 (B, C, H, W); padding "constant" (0) or "edge".

    A frame of one pixel is put around each image, and places outside are moved onto it.
    """
    b, c, h, w = images.shape
    framed = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode=padding).astype(np.float32)  # type: ignore[call-overload]
    pixels = framed.transpose(0, 2, 3, 1).reshape(-1, c)  # (B (H+2) (W+2), C)
    y, x = _places(matrices, h, w)  # (B, HW)
    top, left = np.minimum(y.astype(np.int64), h), np.minimum(x.astype(np.int64), w)
    down, right = ((place - corner).astype(np.float32).reshape(-1, 1) for place, corner in ((y, top), (x, left)))
    corner = (np.arange(b)[:, None] * ((h + 2) * (w + 2)) + top * (w + 2) + left).ravel()
    upper = _between(pixels.take(corner, 0), pixels.take(corner + 1, 0), right)
    lower = _between(pixels.take(corner + w + 2, 0), pixels.take(corner + w + 3, 0), right)
    return _between(upper, lower, down).reshape(b, h, w, c).transpose(0, 3, 1, 2)


def _places(matrices: np.ndarray, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the result lies in the framed image, not outside of it: y and x, each (B, HW)."""
    middle = (h - 1) / 2.0, (w - 1) / 2.0
    y, x = np.indices((h, w)).reshape(2, -1)
    places = matrices[:, :, :1] * (y - middle[0]) + matrices[:, :, 1:2] * (x - middle[1]) + matrices[:, :, 2:]  # (B, 2, HW)
    return np.clip(places[:, 0] + middle[0] + 1.0, 0.0, h + 1.0), np.clip(places[:, 1] + middle[1] + 1.0, 0.0, w + 1.0)


def _between(first: np.ndarray, second: np.ndarray, part: np.ndarray) -> np.ndarray:
    """first + part (second - first): exactly `first` where part is 0."""
    return first + part * (second - first)
