"""Writes senet.json and senet.npz.

python tests/golden/make_senet.py      # in an environment with torch and timm at the versions in reference.py

Gradients are of networks with as many stages and fewer blocks; the whole ones are held by their outputs.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from reference import both_modes, write

NAMES = ["seresnet18", "seresnet50", "legacy_seresnet50"]


def build(name: str, num_classes: int = 1000, depths: list[int] | None = None) -> torch.nn.Module:
    """The reference of a name, without dropout; depths: the blocks of each stage, where they are not the model's."""
    sizes = {"layers": depths} if depths else {}
    return timm.create_model(name, num_classes=num_classes, drop_rate=0.0, **sizes)


CASES: dict[str, dict[str, Any]] = {}
CASES |= both_modes("seresnet18", (3, 64, 64), num_classes=10)
CASES |= both_modes("seresnet50", (3, 64, 64), num_classes=10, depths=[2, 1, 2, 1])
CASES |= both_modes("legacy_seresnet50", (3, 68, 68), num_classes=10, depths=[2, 1, 2, 1])  # maps of odd sides, and the edge
CASES["seresnet50 whole"] = {"model": "seresnet50", "input": [3, 224, 224], "batch": 1}
CASES["legacy_seresnet50 whole"] = {"model": "legacy_seresnet50", "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("senet", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)), [timm])
