"""Windows of an image: one, several, not square, shifted by less and by more than a window."""

from __future__ import annotations

import numpy as np

from ...ops.windows import window_partition, window_reverse
from ..case import Case, Mutant, normal

IMAGES = {
    "four windows": ((1, 4, 4, 2), (2, 2), (0, 0)),
    "shifted": ((2, 4, 2, 1), (2, 2), (1, 1)),
    "not square": ((1, 6, 4, 1), (3, 2), (2, 1)),
    "shifted down alone, by more than a window": ((1, 6, 2, 2), (2, 2), (5, 0)),
    "shifted back": ((1, 2, 6, 1), (2, 3), (0, -2)),
    "one window": ((2, 2, 3, 2), (2, 3), (0, 0)),
}


def _reverse_case(label):
    (n, h, w, c), (r, s), shift = IMAGES[label]
    return Case(label, normal((n * (h // r) * (w // s), r, s, c)), {"image": (h, w), "shift": shift})


CASES = {
    "window_partition": [
        Case(label, normal(shape), {"size": size, "shift": shift}) for label, (shape, size, shift) in IMAGES.items()
    ],
    "window_reverse": [_reverse_case(label) for label in IMAGES],
}


def _cut_in_rows(x, *, size, shift=(0, 0)):
    (n, h, w, c), (r, s) = x.shape, size
    rolled = np.roll(x, (-shift[0], -shift[1]), (1, 2))
    return rolled.reshape(n * (h // r) * (w // s), r, s, c), ((h, w),)


MUTANTS = {
    "window_partition": [
        Mutant("not rolled back", lambda dy, kept, *, size, shift=(0, 0): window_reverse(dy, image=kept[0])),
        Mutant("rolled the other way", lambda dy, kept, *, size, shift=(0, 0): _other_way(dy, kept, shift)),
        Mutant("windows of whole rows", definition=_cut_in_rows),
    ],
    "window_reverse": [
        Mutant("not rolled", lambda dx, kept, *, image, shift=(0, 0): window_partition(dx, size=kept[0])),
        Mutant("the axes' shifts swapped", lambda dx, kept, *, image, shift=(0, 0): _swapped(dx, kept, shift)),
    ],
}


def _other_way(dy, kept, shift):
    return window_reverse(dy, image=kept[0], shift=(-shift[0], -shift[1]))


def _swapped(dx, kept, shift):
    return window_partition(dx, size=kept[0], shift=shift[::-1])
