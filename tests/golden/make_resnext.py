"""Writes resnext.json and resnext.npz.

python tests/golden/make_resnext.py      # in an environment with torch and torchvision at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from reference import both_modes, write
from torchvision.models import resnet

NAMES = ["resnext50_32x4d", "resnext101_32x8d"]


def build(name: str, num_classes: int = 1000) -> torch.nn.Module:
    """The reference of a name."""
    return getattr(resnet, name)(num_classes=num_classes)


CASES: dict[str, dict[str, Any]] = {}
for each in NAMES:
    CASES |= both_modes(each, (3, 64, 64), num_classes=10)
CASES["resnext50_32x4d whole"] = {"model": "resnext50_32x4d", "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("resnext", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)), [torchvision])
