"""Writes swin.json and swin.npz.

python tests/golden/make_swin.py      # in an environment with torch and timm at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from reference import write

TINY, SMALL, BASE, LARGE = NAMES = [f"swin_{size}_patch4_window7_224" for size in ("tiny", "small", "base", "large")]


def build(name: str, **overrides: Any) -> torch.nn.Module:
    """The reference of a name, for images of any size, without stochastic depth."""
    return timm.create_model(name, **{"strict_img_size": False, **overrides, "drop_path_rate": 0.0})


SHORT: dict[str, Any] = {"embed_dim": 16, "num_classes": 5, "drop_path_rate": 0.0}
DEEP: dict[str, Any] = {**SHORT, "depths": [2, 2, 2], "num_heads": [1, 2, 4], "window_size": 4, "img_size": 48}
WIDE: dict[str, Any] = {**SHORT, "depths": [2, 2], "num_heads": [2, 4], "window_size": 3}

CASES: dict[str, dict[str, Any]] = {  # without dropout the modes are the same
    label: {"model": TINY, "input": [3, *size], "batch": 2, "gradients": True, "overrides": overrides}
    for label, size, overrides in [
        ("three maps", (48, 48), DEEP),  # of 12, of 6 padded to 8, and of 3: one window
        ("one window along a side", (24, 12), {**WIDE, "img_size": [24, 12]}),  # shifted along the other alone
        ("another size than the model's", (20, 28), {**WIDE, "img_size": 24}),  # an odd map is merged, both maps are padded
    ]
}
CASES[f"{TINY} whole"] = {"model": TINY, "input": [3, 224, 224], "batch": 1, "overrides": {"drop_path_rate": 0.0}}

if __name__ == "__main__":
    write("swin", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)), [timm])
