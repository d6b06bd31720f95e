"""Writes vgg.json and vgg.npz.

python tests/golden/make_vgg.py      # in an environment with torch and torchvision at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from reference import both_modes, write

NAMES = [f"vgg{depth}{norm}" for norm in ("", "_bn") for depth in (11, 13, 16, 19)]
HIDDEN = 32  # of the classifier in cases with gradients: its 120 million weights would say no more than these


def build(name: str, num_classes: int = 1000, hidden: int = 4096, drop_rate: float = 0.0, grid: int = 7) -> torch.nn.Module:
    """The reference, without dropout, with a classifier of the given width on grid x grid places."""
    model = getattr(torchvision.models, name)(num_classes=num_classes, init_weights=False, dropout=drop_rate)
    model.avgpool = torch.nn.AdaptiveAvgPool2d(grid)
    model.classifier[0], model.classifier[3] = torch.nn.Linear(512 * grid**2, hidden), torch.nn.Linear(hidden, hidden)
    model.classifier[6] = torch.nn.Linear(hidden, num_classes)
    return model


CASES: dict[str, dict[str, Any]] = {}
for each in NAMES:
    modes = both_modes(each, (3, 32, 32), 3, num_classes=10, hidden=HIDDEN, drop_rate=0.0, grid=1)
    CASES |= modes if each.endswith("bn") else {f"{each} eval": modes[f"{each} eval"]}  # without norms the modes are one
CASES["vgg11 at 224"] = {"model": "vgg11", "input": [3, 224, 224], "batch": 1, "overrides": {"hidden": HIDDEN, "drop_rate": 0.0}}

if __name__ == "__main__":
    write("vgg", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)), [torchvision])
