"""Writes micronet.json and micronet.npz.

python tests/golden/make_micronet.py FOLDER      # in an environment with torch at the version in reference.py

FOLDER: github.com/liyunsheng13/micronet at commit ed89b2615e96e945f3dba64645ce8a68b0366222. The settings are those of its
scripts/eval_micronet_m*.sh.
"""

from __future__ import annotations

import contextlib
import io
import sys
from types import SimpleNamespace
from typing import Any

import torch
from reference import both_modes, write

SETTINGS: dict[str, tuple[str, tuple[int, int], int, float, list[float], list[float]]] = {
    "micronet_m0": ("msnx_dy6_exp4_4M_221", (2, 2), 640, 0.05, [1.0, 1.0], [0.0, 0.0]),
    "micronet_m1": ("msnx_dy6_exp6_6M_221", (3, 2), 960, 0.05, [1.0, 1.0], [0.0, 0.0]),
    "micronet_m2": ("msnx_dy9_exp6_12M_221", (4, 2), 1024, 0.1, [1.0, 1.0], [0.0, 0.0]),
    "micronet_m3": ("msnx_dy12_exp6_20M_020", (4, 3), 1024, 0.1, [1.0, 0.5], [0.0, 0.5]),
}


def use_clone(folder: str) -> None:
    """Imports come from the clone."""
    sys.path.insert(0, folder)


def build(name: str, num_classes: int = 1000, drop_rate: float | None = None) -> torch.nn.Module:
    """The reference of a name, where the default device is: it makes its own index tensors."""
    from backbone.micronet import MicroNet

    table, groups, width, rate, a, b = SETTINGS[name]
    net: dict[str, Any] = {"NET_CONFIG": table, "BLOCK": "DYMicroBlock", "POINTWISE": "group", "DEPTHSEP": True, "SHUFFLE": True}
    net |= {"STEM_CH": groups[0] * groups[1], "STEM_GROUPS": groups, "STEM_DILATION": 1, "STEM_MODE": "spatialsepsf"}
    net |= {"OUT_CH": width, "DROPOUT": rate if drop_rate is None else drop_rate}
    act = {"MODULE": "DYShiftMax", "ACT_MAX": 2.0, "LINEARSE_BIAS": False, "INIT_A_BLOCK3": [1.0, 0.0], "REDUCTION": 8}
    act |= {"INIT_A": a, "INIT_B": b}
    model = SimpleNamespace(MICRONETS=SimpleNamespace(**net), ACTIVATION=SimpleNamespace(**act))
    device = torch.get_default_device()
    with torch.device("cpu"), contextlib.redirect_stdout(io.StringIO()):
        return MicroNet(SimpleNamespace(MODEL=model), num_classes=num_classes).to(device)


# In evaluation the rule's weights make Dynamic Shift-Max multiply what it is given by up to 6, block after block, until its hard
# sigmoids are at their ends but for a few, on which float32 decides by chance. So M0 to M2 are compared in training mode, where
# norms hold the size; M3, which has a third as many of them, in both.
CASES: dict[str, dict[str, Any]] = {}
for each in SETTINGS:
    CASES |= both_modes(each, (3, 64, 64), num_classes=10, drop_rate=0.0)
for each in ("micronet_m0", "micronet_m1", "micronet_m2"):
    del CASES[f"{each} eval"]
WHOLE = {"model": "micronet_m0", "input": [3, 224, 224], "batch": 2, "train": True, "overrides": {"drop_rate": 0.0}}
CASES["micronet_m0 whole"] = WHOLE
CASES["micronet_m3 whole"] = {"model": "micronet_m3", "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    use_clone(sys.argv[1])
    write("micronet", build, CASES, dict.fromkeys(SETTINGS, (3, 224, 224)))
