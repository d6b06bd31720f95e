"""Writes inception_v4.json and .npz, inception_resnet_v2.json and .npz.

python tests/golden/make_inception.py      # in an environment with torch and timm at the versions in reference.py
"""

from __future__ import annotations

import timm
import torch
from reference import both_modes, write


def build(name: str, num_classes: int = 1000) -> torch.nn.Module:
    """The reference of a name."""
    return timm.create_model(name, num_classes=num_classes)


if __name__ == "__main__":
    for name in ("inception_v4", "inception_resnet_v2"):
        cases = both_modes(name, (3, 107, 107), batch=2, num_classes=10)  # the last map is 2x2
        cases[f"{name} whole"] = {"model": name, "input": [3, 299, 299], "batch": 1}
        write(name, build, cases, {name: (3, 299, 299)}, [timm])
