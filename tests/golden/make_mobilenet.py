"""Writes mobilenet.json and mobilenet.npz.

python tests/golden/make_mobilenet.py      # in an environment with torch and timm at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from reference import both_modes, write

NAME = "mobilenetv1_100"


def build(name: str, **overrides: Any) -> torch.nn.Module:
    """The reference of a name."""
    return timm.create_model(name, **overrides)


CASES: dict[str, dict[str, Any]] = both_modes(NAME, (3, 64, 64), num_classes=10)
CASES[f"{NAME} whole"] = {"model": NAME, "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("mobilenet", build, CASES, {NAME: (3, 224, 224)}, [timm])
