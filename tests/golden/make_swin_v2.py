"""Writes swin_v2.json and swin_v2.npz.

python tests/golden/make_swin_v2.py      # in an environment with torch and timm at the versions in reference.py
"""

from __future__ import annotations

import math
from typing import Any

import timm
import torch
from reference import write
from timm.models.swin_transformer_v2 import WindowAttention

TINY, SMALL, BASE = NAMES = [f"swinv2_{size}_window8_256" for size in ("tiny", "small", "base")]


def build(name: str, **overrides: Any) -> torch.nn.Module:
    """The reference of a name, for images of any size, without stochastic depth."""
    model = timm.create_model(name, **{"strict_img_size": False, **overrides, "drop_path_rate": 0.0})
    for module in model.modules():
        if isinstance(module, WindowAttention):
            module.register_forward_pre_hook(exact_coordinates)
    return model


def exact_coordinates(module: Any, args: Any) -> None:
    """The table of displacements, which timm computes in float32, in the model's element type."""
    table = module.relative_coords_table
    if table.dtype == torch.float64:
        axes = [torch.arange(1 - m, m, dtype=torch.float64) for m in module.window_size]
        seen = [p or m for p, m in zip(module.pretrained_window_size, module.window_size, strict=True)]
        axes = [8.0 * axis / max(m - 1, 1) for axis, m in zip(axes, seen, strict=True)]
        d = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)[None]
        exact = torch.sign(d) * torch.log2(1.0 + d.abs()) / math.log2(8.0)
        assert (exact - table).abs().max() < 1e-6
        module.relative_coords_table = exact


SHORT: dict[str, Any] = {"embed_dim": 16, "num_classes": 5, "drop_path_rate": 0.0}
DEEP: dict[str, Any] = {**SHORT, "depths": [2, 2, 2], "num_heads": [1, 2, 4], "window_size": 4, "img_size": 48}
WIDE: dict[str, Any] = {**SHORT, "depths": [2, 2], "num_heads": [2, 4], "window_size": 3, "img_size": 24}

CASES: dict[str, dict[str, Any]] = {  # without dropout the modes are the same
    label: {"model": TINY, "input": [3, *size], "batch": 2, "gradients": True, "overrides": overrides}
    for label, size, overrides in [
        ("three maps", (48, 48), DEEP),  # of 12, of 6 padded to 8, and of 3: one window
        ("another size than the model's", (20, 28), WIDE),  # an odd map is merged, both maps are padded
        ("a window larger than trained with", (24, 24), {**WIDE, "window_size": 6, "pretrained_window_sizes": [3, 2]}),
    ]
}
CASES[f"{TINY} whole"] = {"model": TINY, "input": [3, 256, 256], "batch": 1, "overrides": {"drop_path_rate": 0.0}}

if __name__ == "__main__":
    write("swin_v2", build, CASES, dict.fromkeys(NAMES, (3, 256, 256)), [timm])
