"""Writes cdcn.json and cdcn.npz.

python tests/golden/make_cdcn.py FOLDER   # with torch at the version in reference.py; FOLDER: a clone of
                                          # github.com/ZitongYu/CDCN at fd8370e8f32bdd090a3552f5a1fe4c301fa99f2b

The map's side is 4 in the small cases, so that the levels are resized from four and two times and as they are, as at full size.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from reference import both_modes, write

NAMES = {"cdcn": "CDCN", "cdcnpp": "CDCNpp"}


def use_clone(folder: str) -> None:
    """Imports come from the clone."""
    sys.path.insert(0, f"{folder}/CVPR2020_paper_codes/models")


def build(name: str, map_size: int = 32) -> torch.nn.Module:
    """The reference of a name, which returns its depth map alone."""
    import CDCNs  # in FOLDER

    class Depth(getattr(CDCNs, NAMES[name])):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)[0].reshape(len(x), map_size, map_size)

    model = Depth()
    model.downsample32x32 = torch.nn.Upsample(size=(map_size, map_size), mode="bilinear")
    return model


CASES: dict[str, dict[str, Any]] = {}
for each in NAMES:
    CASES |= both_modes(each, (3, 32, 32), batch=3, map_size=4)
    CASES[f"{each} whole"] = {"model": each, "input": [3, 64, 64], "batch": 1}

if __name__ == "__main__":
    use_clone(sys.argv[1])
    write("cdcn", build, CASES, dict.fromkeys(NAMES, (3, 256, 256)))
