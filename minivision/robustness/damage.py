"""What is done to pictures: patches made black, patches shuffled, pictures shifted (Naseer et al. 2021, section 3).

Pixels are (N, C, H, W) of any element type, before they are standardised: 0 is black, not the mean. A grid (rows, columns) cuts
a picture into so many patches; it need not be the grid of a network's own patches, but its numbers must divide H and W.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from ..recording import no_grad
from ..tape import Tensor

Grid = tuple[int, int]


def random_patches(count: int, grid: Grid, drop: int | float, rng: np.random.Generator, same: bool = False) -> np.ndarray:
    """Which patches to drop, drawn at random without order: (count, rows, columns) of bool, True where one is dropped.

    drop: a whole number says how many of a picture's patches, a float from 0.0 to 1.0 which share of them, rounded to whole
    patches. Every picture has patches of its own, or with `same` all have those of one draw, as in the authors' evaluation.
    ValueError where there are not so many patches.
    """
    patches = grid[0] * grid[1]
    share = isinstance(drop, (float, np.floating))
    if not 0 <= drop <= (1.0 if share else patches):
        told = f"a whole number from 0 to the {patches} patches of the grid {grid}, or a float from 0.0 to 1.0"
        raise ValueError(f"random_patches: drop is {told}, got {drop!r}")
    dropped = round(float(drop) * patches) if share else drop
    places = rng.random((1 if same else count, patches)).argsort(axis=1)  # each row is 0, 1, ... in a random order
    return np.broadcast_to(places < dropped, (count, patches)).reshape(count, *grid)


def salient_patches(saliency: np.ndarray, mass: float, salient: bool = True) -> np.ndarray:
    """Which patches to drop by what is in them: (N, rows, columns) of bool, True where one is dropped.

    saliency (N, rows, columns), from 0: how much each patch matters. Dropped are the fewest patches, from the most salient
    one down, whose saliency together is at least `mass` (0.0 to 1.0) of the picture's sum; with salient=False from the least
    salient one up. Patches of equal saliency are taken in reading order. So the number of patches differs from picture to
    picture: half of what matters may lie in a tenth of the patches. ValueError for another mass, or saliency that is negative
    or all 0.
    """
    flat = np.asarray(saliency, np.float64).reshape(len(saliency), -1)  # (N, patches)
    if not 0.0 <= mass <= 1.0:
        raise ValueError(f"salient_patches: mass is a share from 0.0 to 1.0, got {mass!r}")
    if np.ndim(saliency) != 3 or not (flat.min(initial=0.0) >= 0.0 and np.all(flat.sum(1) > 0.0)):
        told = "(N, rows, columns) of numbers from 0, in each picture one above 0; take off the least where some are negative"
        raise ValueError(f"salient_patches: saliency is {told}; got {np.shape(saliency)}, least {flat.min(initial=np.inf):g}")
    order = np.argsort(-flat if salient else flat, axis=1, kind="stable")
    reached = np.cumsum(np.take_along_axis(flat, order, axis=1), axis=1)
    before = np.pad(reached[:, :-1], ((0, 0), (1, 0)))  # what those have that come earlier: while that is too little, one goes on
    dropped = np.empty(flat.shape, bool)
    np.put_along_axis(dropped, order, before < mass * reached[:, -1:], axis=1)
    return dropped.reshape(np.shape(saliency))


def drop_patches(pixels: np.ndarray, dropped: np.ndarray, offset: int = 0) -> np.ndarray:
    """pixels (N, C, H, W) with the dropped patches black, in every channel 0; a copy of the same element type.

    dropped (N, rows, columns) of bool, from random_patches or salient_patches; offset: by so many pixels the black patches
    lie farther down and to the right, those that leave the picture entering it again at the other side, so that as much is
    black while no patch of a network that cuts along the same grid is black as a whole. ShapeError where the grid does not
    divide H and W.
    """
    n, rows, columns = dropped.shape
    height, width = _patch_size("drop_patches", pixels, (rows, columns))
    if n != len(pixels):
        hint = "draw a row of patches for each picture: random_patches(len(pixels), ...)"
        raise ShapeError("drop_patches", f"{len(pixels)} pictures, but patches for {n}", _told(pixels, dropped=dropped), hint)
    black = np.repeat(np.repeat(dropped, height, axis=1), width, axis=2)  # (N, H, W)
    black = np.roll(black, (offset, offset), axis=(1, 2))
    return np.where(black[:, None], np.zeros((), pixels.dtype), pixels)


def shuffle_patches(pixels: np.ndarray, grid: Grid, rng: np.random.Generator, same: bool = False) -> np.ndarray:
    """pixels (N, C, H, W) with the patches of each picture in a random order; a copy of the same element type.

    Every picture has an order of its own, or with `same` all have one. A grid of (1, 1) changes nothing; the finer the grid, the
    less is left of shapes, while what is inside a patch stays. ShapeError where the grid does not divide H and W.
    """
    _patch_size("shuffle_patches", pixels, grid)
    shape = len(pixels), grid[0] * grid[1]
    order = rng.random((1, shape[1]) if same else shape).argsort(axis=1)
    return arrange_patches(pixels, np.broadcast_to(order, shape), grid)


def arrange_patches(pixels: np.ndarray, order: np.ndarray, grid: Grid) -> np.ndarray:
    """pixels (N, C, H, W), put together anew from their patches; a copy of the same element type.

    Patches and their places are counted in reading order, from 0: left to right in the first of the rows, then the next row. In
    picture n, place k gets the patch number order[n, k]. order (N, rows columns) of whole numbers; grid: (rows, columns), each
    patch being H / rows high and W / columns wide. ShapeError where these do not fit together.
    """
    height, width = _patch_size("arrange_patches", pixels, grid)
    n, c, (rows, columns) = len(pixels), pixels.shape[1], grid
    if order.shape != (n, rows * columns):
        hint = "give each picture a row: an order of all its patches"
        problem = f"order is (N, rows columns), here {(n, rows * columns)}, got {order.shape}"
        raise ShapeError("arrange_patches", problem, _told(pixels, order=order), hint)
    patches = pixels.reshape(n, c, rows, height, columns, width).transpose(0, 2, 4, 1, 3, 5)  # (N, rows, columns, C, h, w)
    patches = patches.reshape(n, rows * columns, c, height, width)
    patches = np.take_along_axis(patches, order[:, :, None, None, None], axis=1)
    patches = patches.reshape(n, rows, columns, c, height, width)
    return patches.transpose(0, 3, 1, 4, 2, 5).reshape(pixels.shape)


def shift_pictures(pixels: np.ndarray, down: Any, right: Any, edge: bool = False) -> np.ndarray:
    """pixels (N, C, H, W) moved by whole pixels.

    down, right: numbers for all pictures, or (N); below 0 they are up and left. What comes into the picture is black, or with
    `edge` repeats the border. A copy of the same element type. ValueError for a shift that is no whole number or leaves
    nothing of the picture.
    """
    n, _, height, width = pixels.shape
    shifts = [np.broadcast_to(np.asarray(shift), (n,)) for shift in (down, right)]
    for name, shift, side in zip(("down", "right"), shifts, (height, width), strict=True):
        if shift.dtype.kind not in "iu" or np.any(np.abs(shift) >= side):
            raise ValueError(
                f"shift_pictures: {name} is whole numbers between -{side} and {side}, the picture's side; got {shift}"
            )
    y, x = (np.arange(side) - shift[:, None] for side, shift in zip((height, width), shifts, strict=True))  # (N, H), (N, W)
    numbers, channels = np.arange(n)[:, None, None, None], np.arange(pixels.shape[1])[:, None, None]
    rows, columns = np.clip(y, 0, height - 1)[:, None, :, None], np.clip(x, 0, width - 1)[:, None, None, :]
    moved = pixels[numbers, channels, rows, columns]  # (N, C, H, W)
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    return moved if edge else np.where(inside[:, None], moved, np.zeros((), pixels.dtype))


@no_grad()
def attention_saliency(model: Any, images: Any, head: int | None = None, batch_size: int = 256) -> np.ndarray:
    """How much the class token of a ViT's last block looks at each patch: (N, rows, columns) of float64, each sums to 1.

    model: with `attention_maps` and `config.grid`, as VisionTransformer; images (N, C, H, W), standardised. The mean of all
    heads, or one head alone: the authors took one of a DINO network's, and every tested network was shown the same drops.
    TypeError for a model without such maps, ValueError for a head that there is not.
    """
    grid = getattr(getattr(model, "config", None), "grid", None)
    if grid is None or not hasattr(model, "attention_maps"):
        told = "a vision transformer with attention_maps and config.grid, such as create_model('vit_digits')"
        raise TypeError(f"attention_saliency: the model is {told}; got {type(model).__name__}")
    model.eval()
    parts = [model.attention_maps(Tensor(images[i : i + batch_size]))[-1] for i in range(0, len(images), batch_size)]
    looks = np.concatenate(parts)[:, :, 0].astype(np.float64)  # (N, heads, tokens before the patches and patches)
    if head is not None and not 0 <= head < looks.shape[1]:
        raise ValueError(f"attention_saliency: the model has heads 0 to {looks.shape[1] - 1}, got {head}")
    looks = (looks.mean(1) if head is None else looks[:, head])[:, -grid[0] * grid[1] :]
    return (looks / looks.sum(1, keepdims=True)).reshape(-1, *grid)


def _patch_size(operation: str, pixels: np.ndarray, grid: Grid) -> Grid:
    """Height and width in pixels of a grid's patches; ShapeError where they are not whole."""
    if pixels.ndim != 4:
        raise ShapeError(operation, "pixels are (N, C, H, W)", _told(pixels), "one picture is pixels[None]")
    height, width = pixels.shape[2:]
    if min(grid) < 1 or height % grid[0] or width % grid[1]:
        problem = f"a grid of {grid[0]} x {grid[1]} patches does not divide pictures of {height} x {width} pixels"
        raise ShapeError(operation, problem, _told(pixels), "take a grid whose numbers divide H and W")
    return height // grid[0], width // grid[1]


def _told(pixels: np.ndarray, **others: np.ndarray) -> str:
    return ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in {"pixels": pixels, **others}.items())
