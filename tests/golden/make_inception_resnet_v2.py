"""Writes inception_resnet_v2.json and inception_resnet_v2.npz.

python tests/golden/make_inception_resnet_v2.py      # in an environment with torch and timm at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from reference import both_modes, write

NAME = "inception_resnet_v2"


def build(name: str, num_classes: int = 1000) -> torch.nn.Module:
    """The reference of a name."""
    return timm.create_model(name, num_classes=num_classes)


CASES: dict[str, dict[str, Any]] = both_modes(NAME, (3, 107, 107), batch=2, num_classes=10)  # the last map is 2x2
CASES[f"{NAME} whole"] = {"model": NAME, "input": [3, 299, 299], "batch": 1}

if __name__ == "__main__":
    write(NAME, build, CASES, {NAME: (3, 299, 299)}, [timm])
