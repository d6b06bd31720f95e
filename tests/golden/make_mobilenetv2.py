"""Writes mobilenetv2.json and mobilenetv2.npz.

python tests/golden/make_mobilenetv2.py      # in an environment with torch and torchvision at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from reference import both_modes, write
from torchvision.models import mobilenetv2

NAME = "mobilenet_v2"


def build(name: str, num_classes: int = 1000, drop_rate: float = 0.2, width: float = 1.0) -> torch.nn.Module:
    """The reference of a name."""
    return getattr(mobilenetv2, name)(num_classes=num_classes, dropout=drop_rate, width_mult=width)


CASES: dict[str, dict[str, Any]] = both_modes(NAME, (3, 64, 64), num_classes=10, drop_rate=0.0)
CASES[f"{NAME} narrow"] = {"model": NAME, "input": [3, 64, 64], "batch": 2, "overrides": {"width": 0.35}}
CASES[f"{NAME} whole"] = {"model": NAME, "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("mobilenetv2", build, CASES, {NAME: (3, 224, 224)}, [torchvision])
