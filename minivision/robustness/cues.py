"""Texture against shape: pictures in which both tell the class, or each tells another.

Geirhos et al. (ICLR 2019, arXiv 1811.12231) filled the outline of one class with the texture of another and asked which one a
network answers; Naseer et al. 2021 (section 3.2) ask it of vision transformers. Here the pictures are drawn: class k is the shape
SHAPES[k] of data.shapes, and the texture TEXTURES[k], on an uneven grey ground; colour, size, place and angle tell nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data import Dataset
from ..data.augment import Augmentation
from ..data.shapes import COLOURS, FINE, SHAPES, Lots, Thing, coverage, draw_ground

TEXTURES = ("stripes", "checks", "dots", "lattice", "zigzag", "speckle")
PLAIN = -1  # in place of a texture's number: none, the same mean brightness everywhere
DARK = 0.25  # the brightness of a texture's dark parts, as a part of its bright ones


def texture(name: str, u: np.ndarray, v: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Where a texture is bright: points (u, v), in periods -> the same shape of bool; cells (16, 16) of bool are speckle's."""
    a, b = u % 1.0, v % 1.0
    if name == "stripes":
        return a < 0.5
    if name == "checks":
        return (a < 0.5) ^ (b < 0.5)
    if name == "dots":
        return np.hypot(a - 0.5, b - 0.5) < 0.4
    if name == "lattice":
        return (a < 0.3) | (b < 0.3)
    if name == "zigzag":
        return (v + 2.0 * np.abs((0.5 * u) % 1.0 - 0.5)) % 1.0 < 0.5
    return cells[(2.0 * u).astype(int) % 16, (2.0 * v).astype(int) % 16]  # speckle: cells of half a period, without an order


def cue_pictures(shapes: Any, textures: Any, seed: int, size: int = 32) -> np.ndarray:
    """Pictures (N, 3, size, size) of uint8, by seed: the outline of a class, filled with the texture of any.

    shapes (N): numbers in SHAPES; textures (N): numbers in TEXTURES, or PLAIN, -1, for a shape of even brightness. Ground,
    colour, size, place and angles of a seed's pictures are the same whatever their shapes and textures. ValueError for other
    numbers, or a size below 16.
    """
    shapes, textures = np.asarray(shapes), np.asarray(textures)
    if shapes.ndim != 1 or shapes.shape != textures.shape:
        raise ValueError(f"cue_pictures: shapes and textures are both (N), got {shapes.shape} and {textures.shape}")
    for name, numbers, least, most in ("shapes", shapes, 0, len(SHAPES)), ("textures", textures, PLAIN, len(TEXTURES)):
        if numbers.dtype.kind not in "iu" or np.any((numbers < least) | (numbers >= most)):
            raise ValueError(f"cue_pictures: {name} are whole numbers from {least} to {most - 1}, got {np.unique(numbers)}")
    if size < 16 or seed < 0:
        raise ValueError(f"cue_pictures: size is from 16, for textures to be seen, and seed from 0; got {size} and {seed}")
    lots = Lots(seed)
    drawn = [_draw(lots, SHAPES[s], TEXTURES[t] if t >= 0 else "", size) for s, t in zip(shapes, textures, strict=True)]
    return np.array(drawn, np.uint8).reshape(-1, 3, size, size)


def _draw(lots: Lots, shape: str, name: str, size: int) -> np.ndarray:
    """(3, size, size): a shape of radius 0.34 to 0.44 sides, its texture of 5 to 7 periods a side, both a little tilted."""
    ground, colour = draw_ground(lots, size), list(COLOURS.values())[lots.below(len(COLOURS))]
    radius, tilt, turn = (float(lots.uniform(low, high)) for low, high in ((0.34, 0.44), (-0.25, 0.25), (-0.25, 0.25)))
    x, y = (float(lots.uniform(radius, 1.0 - radius)) * size for _ in range(2))
    periods, along, across = (float(lots.uniform(low, high)) for low, high in ((5.0, 7.0), (0.0, 8.0), (0.0, 8.0)))
    cells = lots.uniform(0.0, 1.0, (16, 16)) < 0.5
    covered = coverage(Thing(shape, "", x, y, radius * size, tilt), size)
    places = (np.arange(size * FINE) + 0.5) / (size * FINE) * periods
    u = np.cos(turn) * places[None, :] + np.sin(turn) * places[:, None] + along + 32.0  # + 32: no point is negative
    v = np.cos(turn) * places[:, None] - np.sin(turn) * places[None, :] + across + 32.0
    bright = texture(name, u, v, cells).reshape(size, FINE, size, FINE).mean((1, 3)) if name else np.full((size, size), 0.5)
    light = np.array(colour, np.float64)[:, None, None] * (DARK + (1.0 - DARK) * bright)
    return np.clip(np.rint(ground + covered * (light - ground)), 0, 255)


def cue_data(train: int = 1200, test: int = 600, seed: int = 0, size: int = 32) -> Dataset:
    """A Dataset in which both cues tell the class: shape k is always filled with texture k. Classes take turns."""
    labels = np.arange(train + test) % len(SHAPES)
    pixels = cue_pictures(labels, labels, seed, size)
    classes = [f"{shape}, {each}" for shape, each in zip(SHAPES, TEXTURES, strict=True)]
    moved = Augmentation(shift=0.05, rotation=10.0, flip=True, edge=True)
    return Dataset("cues", pixels[:train], labels[:train], pixels[train:], labels[train:], classes, augmentation=moved)


def conflicting_cues(count: int, seed: int = 0, size: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (N, 3, size, size), shapes (N), textures (N) of pictures whose cues tell unlike classes; pairs take turns."""
    pairs = np.array([(s, t) for s in range(len(SHAPES)) for t in range(len(TEXTURES)) if s != t])
    shapes, textures = pairs[np.arange(count) % len(pairs)].T
    return cue_pictures(shapes, textures, seed, size), shapes, textures


def shape_bias(answers: Any, shapes: Any, textures: Any) -> float:
    """Of the answers that name the class of shape or texture, the share that names the shape's: 1.0 by shape, 0.0 by texture.

    answers, shapes, textures: (N) of class numbers. Pictures whose shape and texture are of one class say nothing and do not
    count; nor do answers that are neither. ValueError where the three are not as many, or no answer counts.
    """
    answers, shapes, textures = (np.asarray(each) for each in (answers, shapes, textures))
    if answers.ndim != 1 or not answers.shape == shapes.shape == textures.shape:
        told = f"{answers.shape}, {shapes.shape} and {textures.shape}"
        raise ValueError(f"shape_bias: answers, shapes and textures are all (N), got {told}")
    conflict = shapes != textures
    by_shape, by_texture = ((conflict & (answers == cue)).sum() for cue in (shapes, textures))
    if by_shape + by_texture == 0:
        told = f"of {conflict.sum()} pictures whose cues differ, none was answered by either"
        raise ValueError(f"shape_bias: {told}; show more pictures, or train the network first")
    return float(by_shape / (by_shape + by_texture))
