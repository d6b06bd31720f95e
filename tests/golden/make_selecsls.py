"""Writes selecsls.json and selecsls.npz.

python tests/golden/make_selecsls.py      # in an environment with torch and timm at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from reference import both_modes, write

NAMES = ["selecsls42b", "selecsls60", "selecsls60b"]


def build(name: str, **overrides: Any) -> torch.nn.Module:
    """The reference of a name."""
    return timm.create_model(name, **overrides)


CASES: dict[str, dict[str, Any]] = {}
for each in NAMES:
    CASES |= both_modes(each, (3, 128, 128), batch=2, num_classes=10)
CASES["selecsls60 whole"] = {"model": "selecsls60", "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("selecsls", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)), [timm])
