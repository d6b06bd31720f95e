"""Writes resnext.json and resnext.npz.

python tests/golden/make_resnext.py      # in an environment with torch and torchvision at the versions in reference.py

Gradients are of networks with as many stages and fewer blocks; the whole ones are held by their outputs.
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from reference import both_modes, write
from torchvision.models.resnet import Bottleneck, ResNet

SIZES: dict[str, dict[str, Any]] = {
    "resnext50_32x4d": {"layers": [3, 4, 6, 3], "groups": 32, "width_per_group": 4},
    "resnext101_32x8d": {"layers": [3, 4, 23, 3], "groups": 32, "width_per_group": 8},
}


def build(name: str, num_classes: int = 1000, depths: list[int] | None = None) -> torch.nn.Module:
    """The reference of a name; depths: the blocks of each stage, where they are not the model's."""
    sizes = SIZES[name]
    return ResNet(Bottleneck, **{**sizes, "layers": depths or sizes["layers"]}, num_classes=num_classes)


CASES: dict[str, dict[str, Any]] = {}
CASES |= both_modes("resnext50_32x4d", (3, 64, 64), num_classes=10, depths=[2, 1, 2, 1])
CASES |= both_modes("resnext101_32x8d", (3, 64, 64), num_classes=10, depths=[1, 2, 1, 1])
CASES["resnext101_32x8d whole"] = {"model": "resnext101_32x8d", "input": [3, 64, 64], "batch": 1}
CASES["resnext50_32x4d whole"] = {"model": "resnext50_32x4d", "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("resnext", build, CASES, dict.fromkeys(SIZES, (3, 224, 224)), [torchvision])
