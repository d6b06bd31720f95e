"""AlexNet and VGG: the receptive field by what is drawn, another library's layout by the same product."""

from __future__ import annotations

import numpy as np

from ...models.vgg import TIMM
from ..expect import expect, expect_parts
from ..proxy import Student


def receptive_field(student: Student, rng: np.random.Generator) -> None:
    """By marking the pixels: from the last layer to the first, every place asks for those under its kernel."""
    stacks = [[], [(7, 1)], [(3, 1)] * 3, [(3, 2), (3, 2)], [(11, 4), (3, 2), (5, 1)]]
    stacks += [[(int(rng.integers(1, 6)), int(rng.integers(1, 4))) for _ in range(4)] for _ in range(4)]
    for layers in stacks:
        reach, jump = expect_parts(student(layers), "reach jump")
        one, two = _seen(layers, 0), _seen(layers, 1)
        expect(reach, max(one) - min(one) + 1, f"the reach of (kernel, stride) {layers}")
        expect(jump, min(two) - min(one), f"the jump of (kernel, stride) {layers}")


def _seen(layers: list[tuple[int, int]], place: int) -> set[int]:
    """The pixels that one place behind the layers sees, counted from the left."""
    places = {place}
    for kernel, stride in reversed(layers):
        places = {stride * each + offset for each in places for offset in range(kernel)}
    return places


def timm_classifier(student: Student, rng: np.random.Generator) -> None:
    """A convolution over all places is the product with the flattened map; other entries stay."""
    for layer, own in TIMM.items():
        weight = rng.standard_normal((5, 3, 2, 2)) if layer != "head.fc" else rng.standard_normal((5, 12))
        name, array = expect_parts(student(f"{layer}.weight", weight), "name array")
        expect(name, f"{own}.weight", f"the name of {layer}.weight")
        expect(array, np.reshape(weight, (5, 12)), f"{layer}.weight of shape {weight.shape}")
        name, array = expect_parts(student(f"{layer}.bias", np.arange(5.0)), "name array")
        expect((name, array), (f"{own}.bias", np.arange(5.0)), f"{layer}.bias of shape (5,)")
    kernel = rng.standard_normal((4, 3, 3, 3))
    name, array = expect_parts(student("features.0.weight", kernel), "name array")
    expect((name, array), ("features.0.weight", kernel), "features.0.weight of shape (4, 3, 3, 3), which stays")
