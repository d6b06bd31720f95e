"""Writes densenet.json and densenet.npz.

python tests/golden/make_densenet.py      # in an environment with torch and torchvision at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from reference import both_modes, write
from torchvision.models import densenet

NAMES = ["densenet121", "densenet169", "densenet201"]


def build(name: str, num_classes: int = 1000) -> torch.nn.Module:
    """The reference of a name."""
    return getattr(densenet, name)(num_classes=num_classes)


CASES: dict[str, dict[str, Any]] = {}
for each in NAMES:
    CASES |= both_modes(each, (3, 64, 64), num_classes=10)
CASES["densenet121 whole"] = {"model": "densenet121", "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("densenet", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)), [torchvision])
