"""Procedural pictures of coloured shapes, from a seed: with labels, boxes, masks and captions, so that every task has data.

Each picture is a grey, uneven, noisy ground with one or more shapes of any size, angle and colour on it; later ones may hide
parts of earlier ones. Sizes are in pixels, y points down, and a pixel's centre is at (i + 1/2).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .augment import Augmentation
from .dataset import Dataset
from .options import whole_numbers

COLOURS = {
    "red": (214, 48, 49), "orange": (240, 147, 43), "yellow": (249, 220, 66), "green": (46, 160, 67),
    "cyan": (60, 200, 220), "blue": (44, 90, 220), "purple": (130, 60, 190), "white": (245, 245, 245),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "cross", "ring", "star")
FINE = 4  # an edge pixel's colour is the mean of FINE x FINE points in it
VISIBLE = 0.5  # of a shape's area must stay to be seen


@dataclass(frozen=True)
class Thing:
    """A shape in a picture: centre (x, y) and radius of the circle around it in pixels, angle in radians, clockwise."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    angle: float


@dataclass(frozen=True)
class Scene:
    """A picture and all that is known of it.

    pixels (3, H, W) of uint8; things in the order they were drawn; masks (K, H, W) of bool: the pixels of which most shows each
    thing, as far as nothing hides it; boxes (K, 4) of float32: left, top, right, bottom edges of each mask; caption: a sentence.
    """

    pixels: np.ndarray
    things: tuple[Thing, ...]
    masks: np.ndarray
    boxes: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", np.array([box(mask) for mask in self.masks], np.float32).reshape(-1, 4))

    @property
    def labels(self) -> np.ndarray:
        """(K) of int64: the numbers of the things' shapes in SHAPES."""
        return np.array([SHAPES.index(thing.shape) for thing in self.things], np.int64)

    @property
    def caption(self) -> str:
        """Such as "a small red circle left of a large blue square"; from the leftmost to the rightmost."""
        side = self.pixels.shape[-1]
        words = [phrase(thing, side) for thing in sorted(self.things, key=lambda thing: thing.x)]
        return " left of ".join(words)


def phrase(thing: Thing, side: int) -> str:
    """Size, colour and shape in words."""
    size = "small" if thing.radius < 0.16 * side else "large" if thing.radius > 0.24 * side else ""
    words = " ".join(filter(None, (size, thing.colour, thing.shape)))
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom edge of a mask (H, W); zeros where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if len(rows) else (0, 0, 0, 0)


# ------------------------------------------------------------------------------------------------------------ drawing


def inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points are in a shape of radius 1 at the origin; u to the right, v down."""
    if shape == "circle":
        return u * u + v * v <= 1.0
    if shape == "ring":
        return np.abs(np.sqrt(u * u + v * v) - 0.75) <= 0.25
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) <= np.sqrt(0.5)
    if shape == "cross":
        small, large = np.minimum(np.abs(u), np.abs(v)), np.maximum(np.abs(u), np.abs(v))
        return (small <= 0.28) & (large <= 0.96)
    if shape == "triangle":
        return _polygon(3, 0.5, u, v)
    return _polygon(5, 0.38, u, v)


def _polygon(points: int, waist: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A star of so many points at radius 1, the corners between them at the radius `waist`; cos(pi/3) = 1/2 makes a triangle.

    Turned into the sector between a point (angle 0) and a corner (angle pi / points), the border is one straight line.
    """
    step = np.pi / points
    angle, radius = np.arctan2(u, -v), np.sqrt(u * u + v * v)
    folded = np.abs((angle + step) % (2.0 * step) - step)
    x, y = radius * np.cos(folded), radius * np.sin(folded)
    corner_x, corner_y = waist * np.cos(step), waist * np.sin(step)
    return (1.0 - x) * corner_y >= y * (1.0 - corner_x)


def coverage(thing: Thing, side: int) -> np.ndarray:
    """(H, W) of float64 from 0 to 1: the share of each pixel that a thing covers."""
    places = (np.arange(side * FINE) + 0.5) / FINE
    dx, dy = (places - thing.x)[None, :] / thing.radius, (places - thing.y)[:, None] / thing.radius
    cos, sin = np.cos(thing.angle), np.sin(thing.angle)
    points = inside(thing.shape, cos * dx + sin * dy, cos * dy - sin * dx)
    return points.reshape(side, FINE, side, FINE).mean((1, 3))


def paint(things: tuple[Thing, ...], ground: np.ndarray) -> Scene:
    """The things on a ground (3, H, W) of numbers from 0 to 255, in their order."""
    pixels, covered = np.array(ground, np.float64), [coverage(thing, ground.shape[-1]) for thing in things]
    masks = np.array([share > 0.5 for share in covered]).reshape(-1, *ground.shape[1:])
    for i, (thing, share) in enumerate(zip(things, covered, strict=True)):
        pixels += share * (np.array(COLOURS[thing.colour], np.float64)[:, None, None] - pixels)
        masks[:i] &= ~masks[i]
    return Scene(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), things, masks)


# ------------------------------------------------------------------------------------------------------------ drawing lots


class Lots:
    """Uniform numbers from the raw bits of PCG64, whose stream NumPy guarantees: the same pictures in every version."""

    def __init__(self, seed: int) -> None:
        self.bits = np.random.PCG64(seed)

    def uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Numbers from low to below high."""
        raw = np.asarray(self.bits.random_raw(int(np.prod(shape, dtype=np.int64)))) >> np.uint64(11)
        return low + (high - low) * (raw.astype(np.float64) * 2.0**-53).reshape(shape)

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1."""
        return int(self.uniform(0.0, n))


def draw_scene(lots: Lots, size: int, most: int) -> Scene:
    """One to `most` things; an arrangement in which one is nearly hidden is drawn again."""
    ground = draw_ground(lots, size)
    while True:
        things = tuple(draw_thing(lots, size, most) for _ in range(1 + lots.below(most)))
        scene = paint(things, ground)
        seen = [mask.sum() >= VISIBLE * coverage(thing, size).sum() for mask, thing in zip(scene.masks, things, strict=True)]
        if all(seen):
            return scene


def draw_ground(lots: Lots, size: int) -> np.ndarray:
    """(3, H, W): a grey that changes from one side to the other, and noise."""
    grey, slope, angle = lots.uniform(40, 160), lots.uniform(0, 60), lots.uniform(0, 2 * np.pi)
    along = np.linspace(-0.5, 0.5, size)
    light = grey + slope * (np.cos(angle) * along[None, :] + np.sin(angle) * along[:, None])
    return light + lots.uniform(-12, 12, (3, size, size))


def draw_thing(lots: Lots, size: int, most: int) -> Thing:
    """Any shape and colour, whole in the picture; smaller where there may be many."""
    radius = float(lots.uniform(0.12, 0.36 if most == 1 else 0.28)) * size
    x, y = (float(lots.uniform(radius, size - radius)) for _ in range(2))
    return Thing(
        SHAPES[lots.below(len(SHAPES))], list(COLOURS)[lots.below(len(COLOURS))], x, y, radius, float(lots.uniform(0, 2 * np.pi))
    )


def scenes(count: int, seed: int = 0, size: int = 32, most: int = 3) -> list[Scene]:
    """So many pictures of size x size pixels with one to `most` things each, by seed."""
    if count < 0 or seed < 0 or not 8 <= size <= 1024 or not 1 <= most <= 8:
        raise ValueError(f"scenes: count and seed from 0, size 8 to 1024, most 1 to 8; got {count}, {seed}, {size}, {most}")
    lots = Lots(seed)
    return [draw_scene(lots, size, most) for _ in range(count)]


# ----------------------------------------------------------------------------------------------------------- a Dataset

OPTIONS = {
    "size": (16, 256, 32),
    "objects": (1, 8, 1),
    "train": (1, 100_000, 2400),
    "test": (1, 100_000, 600),
}  # least, most, usual


def load_shapes(options: str, seed: int) -> Dataset:
    """The spec shapes?size=32&objects=1&train=2400&test=600: which shape is it; with objects above 1, which shapes are there.

    DataError for an option that there is not. Labels are numbers (N), or 0 and 1 for each class (N, C).
    """
    chosen = whole_numbers("shapes", options, OPTIONS)
    drawn = scenes(chosen["train"] + chosen["test"], seed, chosen["size"], chosen["objects"])
    pixels = np.stack([scene.pixels for scene in drawn])
    if chosen["objects"] == 1:
        labels = np.concatenate([scene.labels for scene in drawn])
    else:
        labels = np.array([np.isin(np.arange(len(SHAPES)), scene.labels) for scene in drawn], np.int64)
    n, moved = chosen["train"], Augmentation(shift=0.05, rotation=10.0, flip=True, edge=True)
    return Dataset("shapes", pixels[:n], labels[:n], pixels[n:], labels[n:], list(SHAPES), augmentation=moved)
