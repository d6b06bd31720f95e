"""Reading between pixels: one, two and three axes, points inside, at the edge and far out, each curve and padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.sample import _sample_vjp
from ..case import Case, Draw, Mutant


def between(x: Any, points: Any, image: Any) -> Draw:
    """An image and points from two pixels in front of it to two behind, a tenth or more from where the curves have kinks."""

    def draw(rng: np.random.Generator) -> tuple[Any, ...]:
        whole = np.stack([rng.integers(-2, n + 2, points[:2]) for n in x[2:]], -1)
        part = rng.choice([-1.0, 1.0], points) * rng.uniform(0.1, 0.4, points)
        return rng.standard_normal(x), (whole + part).reshape(points), np.array(image, np.int64)

    return draw


# label -> shapes of x and points, images, attributes
SAMPLED: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
    "one axis": ((2, 2, 3), (2, 4, 1), [0, 1], {}),
    "two axes": ((2, 2, 2, 3), (2, 3, 2), [0, 1], {}),
    "three axes": ((1, 1, 2, 2, 3), (1, 3, 3), [0], {}),
    "one image often, one never": ((3, 1, 2, 2), (4, 2, 2), [2, 0, 2, 2], {}),
    "one pixel": ((1, 2, 1, 1), (1, 4, 2), [0], {}),
    "many points, so that some meet": ((1, 1, 2, 2), (1, 12, 2), [0], {}),
    "nearest": ((2, 2, 2, 3), (2, 3, 2), [1, 0], {"curve": "nearest"}),
    "cubic": ((1, 2, 3, 2), (1, 4, 2), [0], {"curve": "cubic"}),
    "cubic, border": ((1, 1, 3, 2), (1, 5, 2), [0], {"curve": "cubic", "padding": "border"}),
    "cubic, reflection about edges": ((1, 1, 3, 2), (1, 5, 2), [0], {"curve": "cubic", "padding": "reflection"}),
    "cubic, reflection about pixels": (
        (1, 1, 3, 2), (1, 5, 2), [0], {"curve": "cubic", "padding": "reflection", "align_corners": True},
    ),
    "linear, border": ((1, 1, 2, 3), (1, 5, 2), [0], {"padding": "border"}),
    "reflection of one pixel": ((1, 1, 1, 2), (1, 4, 2), [0], {"padding": "reflection", "align_corners": True}),
    "no points": ((1, 2, 2, 2), (1, 0, 2), [0], {}),
    "no images": ((0, 2, 2, 2), (0, 3, 2), [], {}),
    "no channels": ((1, 0, 2, 2), (1, 2, 2), [0], {}),
}  # fmt: skip

CASES = {
    "sample": [
        Case(label, between(x, points, image), attrs, complex_step=False) for label, (x, points, image, attrs) in SAMPLED.items()
    ],
}


def _right(dy, kept, attrs):
    return _sample_vjp(dy, kept, needs=(True, True, False), **attrs)


def _coordinates_turned(dy, kept, **attrs):
    dx, dpoints, _ = _right(dy, kept, attrs)
    return dx, dpoints[..., ::-1], None


def _first_image(dy, kept, **attrs):
    x, points, image = kept
    return _right(dy, (x, points, image * 0), attrs)[0], _right(dy, kept, attrs)[1], None


def _nearest_scatter(dy, kept, **attrs):
    dx = _sample_vjp(dy, kept, needs=(True, False, False), **{**attrs, "curve": "nearest"})[0]
    return dx, _right(dy, kept, attrs)[1], None


def _zeros_outside(dy, kept, **attrs):
    return _right(dy, kept, {**attrs, "padding": "zeros"})


MUTANTS = {
    "sample": [
        Mutant("rows and columns exchanged", _coordinates_turned),
        Mutant("all gradients to the first image", _first_image),
        Mutant("the nearest pixel takes all", _nearest_scatter),
        Mutant("the padding forgotten", _zeros_outside),
    ],
}
