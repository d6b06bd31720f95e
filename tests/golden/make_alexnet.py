"""Writes alexnet.json and alexnet.npz.

python tests/golden/make_alexnet.py      # in an environment with torch and torchvision at the versions in reference.py
"""

from __future__ import annotations

import torch
import torchvision
from reference import both_modes, write

HIDDEN = 64  # of the classifier in cases with gradients: its 58 million weights would say no more than these


def build(name: str, num_classes: int = 1000, hidden: int = 4096, drop_rate: float = 0.0) -> torch.nn.Module:
    """The reference, without dropout, with a classifier of the given width."""
    model = torchvision.models.alexnet(num_classes=num_classes, dropout=drop_rate)
    model.classifier[1], model.classifier[4] = torch.nn.Linear(256 * 36, hidden), torch.nn.Linear(hidden, hidden)
    model.classifier[6] = torch.nn.Linear(hidden, num_classes)
    return model


CASES = both_modes("alexnet", (3, 127, 127), 2, num_classes=10, hidden=HIDDEN, drop_rate=0.0)
del CASES["alexnet train"]  # without norms and dropout the modes are one
CASES["alexnet at 224"] = {
    "model": "alexnet",
    "input": [3, 224, 224],
    "batch": 1,
    "overrides": {"hidden": HIDDEN, "drop_rate": 0.0},
}

if __name__ == "__main__":
    write("alexnet", build, CASES, {"alexnet": (3, 224, 224)}, [torchvision])
