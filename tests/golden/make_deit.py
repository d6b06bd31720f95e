"""Writes deit.json and deit.npz.

python tests/golden/make_deit.py      # in an environment with torch and timm at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from reference import both_modes, write

NAMES = {
    f"deit_{size}_distilled_patch16_{side}": side for size, side in (("tiny", 224), ("small", 224), ("base", 224), ("base", 384))
}
DIGITS = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 64, "depth": 4, "num_heads": 4}


def build(name: str, distilled_training: bool = False, **overrides: Any) -> torch.nn.Module:
    """The reference of a name; the small one for digits is the tiny one's structure."""
    timm_name, more = (next(iter(NAMES)), DIGITS) if name == "deit_digits" else (name, {})
    model = timm.create_model(timm_name, **{**more, **overrides})
    model.set_distilled_training(distilled_training)
    return model


TINY, SMALL, BASE, LARGE = NAMES
SHORT: dict[str, Any] = {"shape": (3, 48, 48), "batch": 2, "depth": 1, "img_size": 48, "num_classes": 10}
CASES: dict[str, dict[str, Any]] = both_modes(TINY, **SHORT) | both_modes("deit_digits", (1, 8, 8), distilled_training=True)
for each in (SMALL, BASE):
    CASES |= {f"{each} short": {**both_modes(each, **SHORT)[f"{each} eval"], "gradients": False}}
CASES["no head"] = {**CASES[f"{TINY} eval"], "overrides": {**CASES[f"{TINY} eval"]["overrides"], "num_classes": 0}}
CASES["wide image"] = {**CASES[f"{TINY} eval"], "input": [3, 32, 64]}
CASES["wide image"]["overrides"] = {**CASES[f"{TINY} eval"]["overrides"], "img_size": [32, 64]}
CASES["whole"] = {"model": TINY, "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("deit", build, CASES, {name: (3, side, side) for name, side in NAMES.items()}, [timm])
