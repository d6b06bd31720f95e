"""Writes shufflenet_v2.json and shufflenet_v2.npz.

python tests/golden/make_shufflenet_v2.py      # in an environment with torch and torchvision at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from reference import both_modes, write
from torchvision.models import shufflenetv2

NAMES = ["shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"]


def build(name: str, num_classes: int = 1000) -> torch.nn.Module:
    """The reference of a name."""
    return getattr(shufflenetv2, name)(num_classes=num_classes)


CASES: dict[str, dict[str, Any]] = {}
for each in NAMES:
    CASES |= both_modes(each, (3, 64, 64), num_classes=10)
CASES["shufflenet_v2_x1_0 whole"] = {"model": "shufflenet_v2_x1_0", "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("shufflenet_v2", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)), [torchvision])
