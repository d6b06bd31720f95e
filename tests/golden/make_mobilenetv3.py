"""Writes mobilenetv3.json and mobilenetv3.npz.

python tests/golden/make_mobilenetv3.py      # in an environment with torch and torchvision at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from reference import both_modes, write
from torchvision.models import mobilenetv3

NAMES = ["mobilenet_v3_large", "mobilenet_v3_small"]


class HardSigmoid(torch.nn.Module):
    """relu6(x + 3) / 6 from its parts: torch's own has 1/6 of float32 in its derivative, also for float64."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape."""
        return torch.nn.functional.relu6(x + 3.0) / 6.0


def build(name: str, num_classes: int = 1000, drop_rate: float = 0.2, width: float = 1.0) -> torch.nn.Module:
    """The reference of a name."""
    model = getattr(mobilenetv3, name)(num_classes=num_classes, dropout=drop_rate, width_mult=width)
    for each in model.modules():
        if hasattr(each, "scale_activation"):
            each.scale_activation = HardSigmoid()
    return model


CASES: dict[str, dict[str, Any]] = {}
for each in NAMES:
    CASES |= both_modes(each, (3, 64, 64), num_classes=10, drop_rate=0.0)
    CASES[f"{each} whole"] = {"model": each, "input": [3, 224, 224], "batch": 1}
CASES["mobilenet_v3_small narrow"] = {"model": NAMES[1], "input": [3, 64, 64], "batch": 2, "overrides": {"width": 0.75}}

if __name__ == "__main__":
    write("mobilenetv3", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)), [torchvision])
