"""Writes acnet.json and acnet.npz: DingXiaoH/ACNet at commit 748fb0c734b41c48eacaacf7fc5e851e33a63ce8.

python tests/golden/make_acnet.py FOLDER      # in an environment with torch at the version in reference.py; FOLDER: the clone

At that commit the builder hands its blocks an argument that they do not take, the module of the CIFAR ResNet asks for h5py,
which no network needs, and flattening takes one layout of memory only: all three are made up for here. "BLOCK/..." are the
numbers of single blocks, for test_acnet.py.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import types
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from reference import both_modes, fill, write
from weights import noise

there = SimpleNamespace()  # the repository's modules


def use_clone(folder: str) -> None:
    """Fills `there`, mended: blocks without the argument that they do not take, plain flattening."""
    sys.path.insert(0, folder)
    for absent in ("h5py", "coloredlogs"):
        sys.modules.setdefault(absent, types.ModuleType(absent))
    names = "acnet.acnet_builder acnet.acb base_model.cfqk base_model.stagewise_resnet base_model.vgg base_model.wrn builder"
    found = {name.rpartition(".")[2]: importlib.import_module(name) for name in names.split()}
    flat = importlib.import_module("custom_layers.flatten_layer").FlattenLayer
    block = found["acb"].ACBlock
    found["acnet_builder"].ACBlock = lambda *args, use_last_bn=False, **settings: block(*args, **settings)
    found["builder"].ConvBuilder.flatten = flat.forward = lambda self, x: torch.flatten(x, 1)
    vars(there).update(found)


STAGES = [16] * 19 + [32] * 19 + [64] * 19  # channels of ResNet-56's layers
NETWORKS = {
    "acnet_cifar_quick": lambda builder: there.cfqk.CFQKBN(10, builder),
    "acnet_vgg": lambda builder: there.vgg.VCNet(10, builder, None),
    "acnet_resnet56": lambda builder: there.stagewise_resnet.SRCNet([9, 9, 9], 10, builder, STAGES),
    "acnet_wrn16_8": lambda builder: there.wrn.WRNCifarNet((2, 2, 2), 10, builder, False),
}


def build(name: str, asymmetric: bool = True) -> torch.nn.Module:
    """The reference of a name."""
    with contextlib.redirect_stdout(io.StringIO()):
        asymmetric_builder = there.acnet_builder.ACNetBuilder(None, False, gamma_init=0.333)
        return NETWORKS[name](asymmetric_builder if asymmetric else there.builder.ConvBuilder(None))


BLOCKS = {  # kernel, padding, stride, groups
    "k3 p1": (3, 1, 1, 1),
    "k3 p0": (3, 0, 1, 1),
    "k3 p2 s2": (3, 2, 2, 1),
    "k5 p2 s2 g2": (5, 2, 2, 2),
    "k5 p1": (5, 1, 1, 1),
    "k5 p0 s3": (5, 0, 3, 1),
}


def single(label: str, k: int, padding: int, stride: int, groups: int) -> dict[str, np.ndarray]:
    """A block of 4 to 6 channels on an image of 9 x 10: both modes' outputs, and the fused kernel and bias."""
    made = fill(there.acb.ACBlock(4, 6, k, stride, padding, groups=groups).double())
    x = torch.from_numpy(noise("x", (2, 4, 9, 10))).double()
    with torch.no_grad():
        kernel, bias = made.eval().get_equivalent_kernel_bias()
        found = {"kernel": kernel.numpy(), "bias": bias.numpy(), "eval": made(x).numpy(), "train": made.train()(x).numpy()}
    return {f"{label}/{name}": array for name, array in found.items()}


CASES: dict[str, dict[str, Any]] = {}
for each in NETWORKS:
    CASES |= both_modes(each, (3, 32, 32), batch=2)
CASES["acnet_vgg eval"]["gradients"] = False  # those of the training mode will do
for each in ("acnet_wrn16_8 eval", "acnet_resnet56 train"):  # in float32 one of their million numbers meets a ReLU's corner
    CASES[each]["gradients"] = False
CASES["acnet_resnet56 plain"] = {
    "model": "acnet_resnet56",
    "input": [3, 32, 32],
    "batch": 2,
    "overrides": {"asymmetric": False},
    "train": True,
    "gradients": True,
}
for each in ("acnet_cifar_quick", "acnet_wrn16_8"):
    plain = {"model": each, "input": [3, 32, 32], "batch": 1, "overrides": {"asymmetric": False}}
    CASES[f"{each} plain"] = plain

if __name__ == "__main__":
    use_clone(sys.argv[1])
    blocks = {key: array for label, settings in BLOCKS.items() for key, array in single(label, *settings).items()}
    write("acnet", build, CASES, dict.fromkeys(NETWORKS, (3, 32, 32)), more=blocks)
