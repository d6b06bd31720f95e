"""Writes cswin.json and cswin.npz.

python tests/golden/make_cswin.py FOLDER      # a clone of microsoft/CSWin-Transformer at f111ae2, beside torch and timm at the
                                              # versions in reference.py
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import torch
from reference import write
from timm.layers import DropPath, to_2tuple, trunc_normal_

NAMES = {
    "cswin_tiny_224": "CSWin_64_12211_tiny_224",
    "cswin_small_224": "CSWin_64_24322_small_224",
    "cswin_base_224": "CSWin_96_24322_base_224",
}


class Flat(torch.nn.Module):
    """einops' Rearrange, as it is used there: (B, C, H, W) -> (B, H W, C)."""

    def __init__(self, pattern: str, **sizes: int) -> None:
        super().__init__()
        assert pattern == "b c h w -> b (h w) c"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).transpose(1, 2)


def use_clone(folder: str) -> None:
    """Imports come from the clone, which names timm's parts as they were called in 2021."""
    parts: dict[str, dict[str, Any]] = {
        "timm.models.helpers": {"load_pretrained": None},
        "timm.models.layers": {"DropPath": DropPath, "to_2tuple": to_2tuple, "trunc_normal_": trunc_normal_},
        "timm.models.registry": {"register_model": lambda build: build},
        "einops": {},
        "einops.layers": {},
        "einops.layers.torch": {"Rearrange": Flat},
        "models": {"__path__": [f"{folder}/models"]},  # whose own __init__ is not run
    }
    for name, held in parts.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(held)


def build(name: str, drop_path_rate: float = 0.0, **sizes: Any) -> torch.nn.Module:
    """The reference of a name, without stochastic depth; sizes as this library names them."""
    official, renamed = importlib.import_module("models.cswin"), {"depths": "depth", "split_sizes": "split_size"}
    make = official.CSWinTransformer if sizes else getattr(official, NAMES[name])
    device = torch.get_default_device()
    with torch.device("cpu"):  # its rates of stochastic depth are read from a tensor
        return make(**{renamed.get(key, key): value for key, value in sizes.items()}).to(device)


# A map of 16 in stripes of 2, of 8 in stripes of 4, of 4 in one window, for its stripes are as wide, and of 2 in one window.
SMALL: dict[str, Any] = {"embed_dim": 8, "depths": [1, 2, 1, 1], "num_heads": [2, 2, 4, 4], "split_sizes": [2, 4, 4, 1]}
SMALL |= {"img_size": 64, "num_classes": 5, "drop_path_rate": 0.0}
WIDE: dict[str, Any] = {**SMALL, "embed_dim": 16, "num_heads": [4, 4, 8, 8], "split_sizes": [1, 2, 2, 7], "img_size": 96}
WIDE |= {"depths": [1, 1, 1, 2], "qkv_bias": False}

CASES: dict[str, dict[str, Any]] = {  # without dropout the modes are the same
    "stripes of several widths": {"model": "cswin_tiny_224", "input": [3, 64, 64], "overrides": SMALL},
    "stripes of one and two": {"model": "cswin_tiny_224", "input": [3, 96, 96], "overrides": WIDE},
}
CASES = {label: {**case, "batch": 2, "gradients": True} for label, case in CASES.items()}
CASES["cswin_tiny_224 whole"] = {
    "model": "cswin_tiny_224", "input": [3, 224, 224], "batch": 1, "overrides": {"drop_path_rate": 0.0},
}  # fmt: skip

if __name__ == "__main__":
    use_clone(sys.argv[1])
    write("cswin", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)))
