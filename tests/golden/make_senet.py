"""Writes senet.json and senet.npz.

python tests/golden/make_senet.py      # in an environment with torch and timm at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from reference import both_modes, write

NAMES = ["seresnet18", "seresnet50", "legacy_seresnet50"]


def build(name: str, num_classes: int = 1000) -> torch.nn.Module:
    """The reference of a name, without dropout."""
    return timm.create_model(name, num_classes=num_classes, drop_rate=0.0)


CASES: dict[str, dict[str, Any]] = {}
for each in NAMES:
    CASES |= both_modes(each, (3, 72, 72), num_classes=10)  # the legacy pooling's last window reaches over the edge
CASES["seresnet50 whole"] = {"model": "seresnet50", "input": [3, 224, 224], "batch": 1}
CASES["legacy_seresnet50 whole"] = {"model": "legacy_seresnet50", "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("senet", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)), [timm])
