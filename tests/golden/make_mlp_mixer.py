"""Writes mlp_mixer.json and mlp_mixer.npz.

python tests/golden/make_mlp_mixer.py      # in an environment with torch and timm at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from reference import both_modes, write
from timm.models.mlp_mixer import MlpMixer

SIZES = {  # width, blocks, side of a patch, side of an image, channels, classes
    "mixer_s32_224": (512, 8, 32, 224, 3, 1000),
    "mixer_s16_224": (512, 8, 16, 224, 3, 1000),
    "mixer_b32_224": (768, 12, 32, 224, 3, 1000),
    "mixer_b16_224": (768, 12, 16, 224, 3, 1000),
    "mixer_digits": (64, 4, 2, 8, 1, 10),
}


def build(name: str, **overrides: Any) -> torch.nn.Module:
    """The reference of a name; timm's own by that name where nothing is changed."""
    if name != "mixer_digits" and not overrides:
        return timm.create_model(name)
    width, depth, patch, image, channels, classes = SIZES[name]
    chosen = {"embed_dim": width, "depth": depth, "img_size": image, "num_classes": classes, **overrides}
    return MlpMixer(patch_size=patch, in_chans=channels, num_blocks=chosen.pop("depth"), **chosen)


NAME = "mixer_s16_224"
SMALL: dict[str, Any] = {"depth": 2, "embed_dim": 48, "num_classes": 10}
CASES: dict[str, dict[str, Any]] = both_modes(NAME, (3, 48, 48), img_size=48, **SMALL)
CASES |= both_modes("mixer_digits", (1, 8, 8), batch=4)
CASES["wide over patches"] = {
    "model": NAME, "input": [3, 48, 48], "batch": 2, "gradients": True,
    "overrides": {"img_size": 48, "mlp_ratio": [2.0, 1.5], **SMALL},
}  # fmt: skip
CASES[f"{NAME} whole"] = {"model": NAME, "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    shapes = {name: (channels, image, image) for name, (_, _, _, image, channels, _) in SIZES.items()}
    write("mlp_mixer", build, CASES, shapes, [timm])
