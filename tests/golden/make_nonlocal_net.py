"""Writes nonlocal_net.json and nonlocal_net.npz.

python tests/golden/make_nonlocal_net.py FOLDER      # a clone of AlexHex7/Non-local_pytorch at ec15789, beside torch and
                                                     # torchvision at the versions in reference.py

The port's blocks stand behind those of torchvision's ResNet. The authors' own reading is made of the same layers: pooling first,
and theta divided by the root of its length.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Any

import torch
import torchvision
from reference import both_modes, write
from torchvision.models import resnet50

FILES = {
    "gaussian": "gaussian",
    "embedded": "embedded_gaussian",
    "dot": "dot_product",
    "concatenation": "concatenation",
}
AFTER = ((), (1, 3), (1, 3, 5), ())  # in each stage
NAME = "nonlocal_resnet50"
SHARP = ("gaussian", "embedded")


def use_clone(folder: str) -> None:
    """Imports come from the clone."""
    sys.path.insert(0, folder)


def block(channels: int, affinity: str, sub_sample: bool, scale: bool, pool_first: bool) -> torch.nn.Module:
    """One of the port's blocks, or its authors' reading."""
    made = __import__(f"lib.non_local_{FILES[affinity]}", fromlist=["x"]).NONLocalBlock2D(channels, sub_sample=sub_sample)
    if pool_first and sub_sample:
        for name in ("g", "phi"):
            if isinstance(found := getattr(made, name), torch.nn.Sequential):
                setattr(made, name, torch.nn.Sequential(OrderedDict([("pool", found[1]), ("0", found[0])])))
    if scale and affinity == "embedded":
        made.theta.register_forward_hook(lambda module, _, y: y * module.out_channels**-0.5)
    return made


def build(
    name: str,
    num_classes: int = 1000,
    affinity: str = "embedded",
    sub_sample: bool = True,
    scale: bool = True,
    pool_first: bool = True,
    nonlocal_after: Any = AFTER,
) -> torch.nn.Module:
    """torchvision's ResNet-50 with blocks behind some of its own."""
    model = resnet50(num_classes=num_classes)
    for stage, chosen in zip((model.layer1, model.layer2, model.layer3, model.layer4), nonlocal_after, strict=True):
        for j in chosen:
            stage[j].add_module("nl", block(stage[j].conv3.out_channels, affinity, sub_sample, scale, pool_first))
            stage[j].register_forward_hook(lambda module, _, y: module.nl(y))
    return model


SMALL: dict[str, Any] = {"shape": (3, 64, 64), "num_classes": 10}
PORT = {"scale": False, "pool_first": False}
ONE = {"nonlocal_after": [[], [1], [], []]}
CASES: dict[str, dict[str, Any]] = both_modes(NAME, **SMALL) | both_modes(NAME, label="port", **PORT, **SMALL)
for each in FILES:
    CASES |= {
        f"{each} {label}": case for label, case in both_modes(NAME, affinity=each, **PORT, **ONE, **SMALL, label="port").items()
    }
CASES["port, all positions"] = {**CASES["port eval"], "overrides": {**PORT, **ONE, "sub_sample": False, "num_classes": 10}}
CASES["whole"] = {"model": NAME, "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    use_clone(sys.argv[1])
    write("nonlocal_net", build, CASES, {NAME: (3, 224, 224)}, [torchvision])
