"""Writes focal.json and focal.npz.

python tests/golden/make_focal.py FOLDER      # a clone of microsoft/Focal-Transformer at 57bb303, beside torch and timm at the
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

SIZES: dict[str, tuple[int, list[int], list[int]]] = {
    "tiny": (96, [2, 2, 6, 2], [3, 6, 12, 24]),
    "small": (96, [2, 2, 18, 2], [3, 6, 12, 24]),
    "base": (128, [2, 2, 18, 2], [4, 8, 16, 32]),
}
NAMES = {f"focal_{size}_patch4_window7_224": sizes for size, sizes in SIZES.items()}
TINY = next(iter(NAMES))


def use_clone(folder: str) -> None:
    """Imports come from the clone, which names timm's parts as they were called in 2021."""
    parts: dict[str, dict[str, Any]] = {
        "timm.models.layers": {"DropPath": DropPath, "to_2tuple": to_2tuple, "trunc_normal_": trunc_normal_},
        "classification": {"__path__": [f"{folder}/classification"]},  # whose own __init__ is not run
    }
    for name, held in parts.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(held)


def build(name: str, drop_path_rate: float = 0.0, **sizes: Any) -> torch.nn.Module:
    """The reference of a name, without stochastic depth and without buffers in its state; sizes as this library names them.

    A stage without pooled windows has one level; one without a margin an expand_size of 0, and all of its blocks.
    """
    official = importlib.import_module("classification.focal_transformer")
    width, depths, heads = NAMES[name]
    settings = {
        "embed_dim": width,
        "depths": depths,
        "num_heads": heads,
        "focal_windows": [7, 5, 3, 1],
        "expand_size": 3,
        **sizes,
    }
    settings["expand_sizes"] = [settings.pop("expand_size")] * len(settings["depths"])
    settings["focal_levels"] = [2 if region else 1 for region in settings["focal_windows"]]
    device = torch.get_default_device()
    with torch.device("cpu"):  # its rates of stochastic depth are read from a tensor
        model = official.FocalTransformer(**settings, drop_path_rate=0.0).to(device)
    for module in model.modules():
        module._non_persistent_buffers_set.update(module._buffers)
    return model


# Maps of 16, of 8, and of 4 patches, padded to 18 and 9 for windows of 3 and then one window too.
DEEP: dict[str, Any] = {"embed_dim": 8, "depths": [2, 1, 1], "num_heads": [1, 2, 4], "window_size": 4, "expand_size": 2}
DEEP |= {"focal_windows": [3, 1, 1], "img_size": 64, "num_classes": 5, "drop_path_rate": 0.0}
WIDE: dict[str, Any] = {**DEEP, "depths": [1, 1], "num_heads": [2, 4], "embed_dim": 16, "img_size": 32}
OVERRIDES: dict[str, dict[str, Any]] = {
    "three maps": DEEP,
    "padded maps": {**WIDE, "window_size": 3, "expand_size": 1, "focal_windows": [5, 3], "qkv_bias": False},
    "fine alone": {**WIDE, "focal_windows": [0, 0], "window_size": 2, "expand_size": 1},
    "coarse alone": {**WIDE, "focal_windows": [3, 3], "window_size": 2, "expand_size": 0},
}

CASES: dict[str, dict[str, Any]] = {}  # without dropout the modes are the same
for label, overrides in OVERRIDES.items():
    shape = [3, overrides["img_size"], overrides["img_size"]]
    CASES[label] = {"model": TINY, "input": shape, "batch": 2, "gradients": True, "overrides": overrides}
CASES[f"{TINY} whole"] = {"model": TINY, "input": [3, 224, 224], "batch": 1, "overrides": {"drop_path_rate": 0.0}}

if __name__ == "__main__":
    use_clone(sys.argv[1])
    write("focal", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)))
