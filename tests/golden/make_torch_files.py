"""Writes new.pt and old.pt: a training state as PyTorch saves it today and as it did before 2020, values by rule.

python tests/golden/make_torch_files.py      # in an environment with torch at the version in reference.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from weights import noise

KINDS = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


def state() -> dict[str, object]:
    """Parameters, views of one storage, every element type, and what else people put into such files."""
    base = torch.from_numpy(noise("base", (6, 4)))
    weights = {
        "module.weight": torch.nn.Parameter(torch.from_numpy(noise("weight", (3, 2)))),
        "module.turned": base.t(),
        "module.part": base[1:5, ::2],
        "module.number": torch.tensor(7),
        "module.none": torch.empty(0, 3),
        "module.channels_last": torch.from_numpy(noise("image", (2, 3, 4, 5))).contiguous(memory_format=torch.channels_last),
    }
    kinds = {str(kind).removeprefix("torch."): (torch.from_numpy(noise("kinds", (5,))) * 3).to(kind) for kind in KINDS}
    linear = torch.nn.Linear(2, 3)
    linear.load_state_dict({"weight": weights["module.weight"].detach(), "bias": torch.from_numpy(noise("bias", (3,)))})
    more = {"epoch": 3, "best": 0.5, "args": argparse.Namespace(lr=0.1, betas=(0.9, 0.999)), "rng": {1, 2}, "note": None}
    return {"state_dict": weights, "kinds": kinds, "linear": linear.state_dict(), **more}


if __name__ == "__main__":
    here = Path(__file__).parent
    torch.save(state(), here / "new.pt")
    torch.save(state(), here / "old.pt", _use_new_zipfile_serialization=False)
