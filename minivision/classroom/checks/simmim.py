"""SimMIM's steps, against loops over pixels and cells, and tokens that are put into a map one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tape import Tensor
from ..drivers.simmim import small
from ..expect import expect
from ..proxy import Student


def loss(student: Student, rng: np.random.Generator) -> None:
    """A list of the hidden pixels' errors and its mean; one channel and three, all hidden, none."""
    for shape, hidden in [((2, 3, 4, 5), 0.5), ((1, 1, 3, 3), 0.3), ((2, 2, 2, 2), 1.0), ((1, 2, 2, 3), 0.0)]:
        images, pred = rng.standard_normal((2, *shape))
        mask = (rng.random((shape[0], *shape[2:])) < hidden) * 1.0
        errors = [abs(images[b, c, y, x] - pred[b, c, y, x]) for b, c, y, x in np.ndindex(shape) if mask[b, y, x]]
        wanted = sum(errors) / (mask.sum() + 1e-5) / shape[1]
        label = f"the loss of images {shape}, {int(mask.sum())} of {mask.size} pixels hidden"
        expect(student(Tensor(images), Tensor(pred), Tensor(mask)), Tensor(np.array(wanted)), label)


def masking(student: Student, rng: np.random.Generator) -> None:
    """Cells sorted in Python, as many hidden of each image, and every patch's mark put by a loop."""
    cases: list[tuple[dict[str, Any], int]] = [
        ({"mask_ratio": 0.5}, 2),
        ({"mask_ratio": 0.3, "mask_patch_size": 1}, 3),
        ({"mask_ratio": 0.6, "patch_size": 2, "mask_patch_size": 4, "img_size": (8, 16)}, 1),
        ({"mask_ratio": 1.0}, 1),
    ]
    for overrides, batch in cases:
        config = small(**overrides).config
        (rows, columns), scale = config.cells, config.mask_patch_size // config.patch_size
        for noise in (rng.random((batch, rows * columns)), rng.integers(3, size=(batch, rows * columns)) / 2):
            wanted = np.zeros((batch, rows * scale, columns * scale), np.float32)
            for b, row in enumerate(noise):
                for cell in sorted(range(len(row)), key=row.__getitem__)[: config.hidden]:
                    y, x = cell // columns * scale, cell % columns * scale
                    wanted[b, y : y + scale, x : x + scale] = 1
            told = ", ".join(f"{name}={value}" for name, value in overrides.items())
            got = student.drive("simmim:masking", batch, noise, **overrides)
            expect(got, wanted, f"masks of {batch} images from {noise.shape} numbers, {told}")


def token(student: Student, rng: np.random.Generator) -> None:
    """The library's stages and norm on a map whose hidden places were overwritten one by one."""
    encoder = small().encoder
    state = {name: rng.normal(float(name.endswith("norm.weight")), 0.5, a.shape) for name, a in encoder.state_dict().items()}
    encoder.load_state_dict(state)
    for batch, share in [(2, 0.5), (1, 1.0), (1, None)]:
        x = rng.standard_normal((batch, 2, 4, 8))
        z, mask = encoder.patch_embed(Tensor(x)).numpy().copy(), None
        if share is not None:
            mask = (rng.random((batch, 4, 8)) < share) * 1.0
            for b, i, j in zip(*np.nonzero(mask), strict=True):
                z[b, i, j] = state["mask_token"][0, 0]
        y: Any = Tensor(z)
        for layer in encoder.layers:
            y = layer(y)
        wanted = np.moveaxis(encoder.norm(y).numpy(), -1, 1)
        told = "no mask" if mask is None else f"{int(mask.sum())} of {mask.size} patches hidden"
        args = (Tensor(x), None if mask is None else Tensor(mask))
        expect(student.drive("simmim:encoder", state, *args), Tensor(np.ascontiguousarray(wanted)), f"x {x.shape}, {told}")
