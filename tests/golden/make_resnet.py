"""Writes resnet.json and resnet.npz.

python tests/golden/make_resnet.py      # in an environment with torch and torchvision at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from reference import both_modes, write
from torchvision.models import resnet

NAMES = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


def build(name: str, num_classes: int = 1000) -> torch.nn.Module:
    """The reference of a name."""
    return getattr(resnet, name)(num_classes=num_classes)


CASES: dict[str, dict[str, Any]] = {}
for each in NAMES:
    CASES |= both_modes(each, num_classes=10)
CASES["resnet18 whole"] = {"model": "resnet18", "input": [3, 224, 224], "batch": 1}
CASES["resnet50 whole"] = {"model": "resnet50", "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("resnet", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)), [torchvision])
