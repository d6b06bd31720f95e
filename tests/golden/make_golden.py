"""Writes vit.json and vit.npz: what the reference computes, for the tests to hold this library against.

    python tests/golden/make_golden.py      # in an environment with torch and timm at the versions below

The reference runs in float64 on weights and inputs filled by rule (weights.py). For each case vit.npz has the logits
and, where the case asks for gradients, those of loss = <logits, random cotangent> with respect to the input and every
parameter, each as its norm and its sketch; vit.json has the cases, every model's entries and counts, and the versions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import timm
import torch
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import checkpoint_filter_fn
from torch.utils.flop_counter import FlopCounterMode
from weights import noise, sketch, weight

PINNED = {"torch": "2.13.0", "timm": "1.0.31"}
TINY = {"depth": 2, "img_size": 64}  # for full width at little work
DIGITS = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 64, "depth": 4, "num_heads": 4}

# label: model, overrides of it, batch size, gradients too; weights_at: the resolution that the weights come from
CASES: dict[str, dict[str, Any]] = {
    "tiny 224": {"model": "vit_tiny_patch16_224", "batch": 2, "gradients": True},
    "tiny 192": {"model": "vit_tiny_patch16_224", "overrides": {"img_size": 192}, "batch": 2, "gradients": True},
    "tiny average pool": {
        "model": "vit_tiny_patch16_224",
        "overrides": {"global_pool": "avg", "num_classes": 10, "in_chans": 1, **TINY},
        "batch": 2,
        "gradients": True,
    },
    "tiny plain qkv": {"model": "vit_tiny_patch16_224", "overrides": {"qkv_bias": False, **TINY}, "batch": 2, "gradients": True},
    "tiny wide image": {
        "model": "vit_tiny_patch16_224",
        "overrides": {"depth": 2, "img_size": (48, 96)},
        "batch": 2,
        "gradients": True,
    },
    "tiny no head": {"model": "vit_tiny_patch16_224", "overrides": {"num_classes": 0, **TINY}, "batch": 2},
    "tiny 224 loaded at 192": {"model": "vit_tiny_patch16_224", "overrides": {"img_size": 192}, "batch": 2, "weights_at": 224},
    "digits": {"model": "vit_digits", "batch": 4, "gradients": True},
    "base 32": {"model": "vit_base_patch32_224", "batch": 1},
    "deit tiny": {"model": "deit_tiny_patch16_224", "batch": 1},
    "small": {"model": "vit_small_patch16_224", "overrides": TINY, "batch": 2},
    "base": {"model": "vit_base_patch16_224", "overrides": TINY, "batch": 2},
    "large": {"model": "vit_large_patch16_224", "overrides": TINY, "batch": 2},
    "deit small": {"model": "deit_small_patch16_224", "overrides": TINY, "batch": 2},
    "deit base": {"model": "deit_base_patch16_224", "overrides": TINY, "batch": 2},
}
RENAMED = {"vit_digits": ("vit_tiny_patch16_224", DIGITS)}  # what timm has under no name of its own
RESIZES = [((14, 14), (12, 12)), ((14, 14), (24, 24)), ((7, 7), (14, 14)), ((14, 14), (4, 9)), ((4, 4), (3, 5)), ((3, 3), (1, 1))]


def build(case: dict[str, Any], **more: Any) -> torch.nn.Module:
    """The reference model of a case, in float64 and evaluation mode."""
    name, renamed = RENAMED.get(case["model"], (case["model"], {}))
    return timm.create_model(name, **renamed, **{**case.get("overrides", {}), **more}).double().eval()


def fill(model: torch.nn.Module) -> torch.nn.Module:
    """Every entry of the state by rule."""
    state = {name: torch.from_numpy(weight(name, tuple(value.shape))).double() for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    return model


def make_model(case: dict[str, Any]) -> torch.nn.Module:
    """The filled model; where `weights_at` names another resolution, its weights are loaded from there as timm does."""
    if "weights_at" not in case:
        return fill(build(case))
    model, source = build(case), fill(build(case, img_size=case["weights_at"]))
    model.load_state_dict(checkpoint_filter_fn(source.state_dict(), model))
    return model


def run(label: str, case: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of one case by name."""
    model = make_model(case)
    shape = (case["batch"], model.patch_embed.proj.weight.shape[1], *model.patch_embed.img_size)
    x = torch.from_numpy(noise("input", shape)).double().requires_grad_()
    logits = model(x)
    found = {"logits": logits.detach().numpy()}
    if case.get("gradients"):
        (logits * torch.from_numpy(noise("cotangent", tuple(logits.shape)))).sum().backward()
        gradients = {"input": x.grad} | {name: parameter.grad for name, parameter in model.named_parameters()}
        found["norms"] = np.array([np.linalg.norm(g.numpy()) for g in gradients.values()])
        found["sketches"] = np.concatenate([sketch(name, g.numpy()) for name, g in gradients.items()])
    return {f"{label}/{name}": array for name, array in found.items()}


def resize(old: tuple[int, int], new: tuple[int, int]) -> dict[str, np.ndarray]:
    """A position embedding of one class token and an old[0] x old[1] grid, 4 wide, on the new grid."""
    table = torch.from_numpy(noise("positions", (1, 1 + old[0] * old[1], 4))).double()
    return {f"resize/{old} {new}": resample_abs_pos_embed(table, new_size=list(new), old_size=list(old)).numpy()}


def describe(name: str) -> dict[str, Any]:
    """A whole model's entries with their shapes, its parameters and the multiply-adds of one image, counted without memory."""
    with torch.device("meta"):
        model = build({"model": name})
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.empty(1, model.patch_embed.proj.weight.shape[1], *model.patch_embed.img_size, device="meta").double())
    keys = {key: "x".join(map(str, value.shape)) for key, value in model.state_dict().items()}
    return {"params": sum(p.numel() for p in model.parameters()), "macs": counter.get_total_flops() // 2, "keys": keys}


@mock.patch.object(torch.Tensor, "float", torch.Tensor.double)  # timm would resize positions in float32
def main() -> None:
    """Makes both files."""
    versions = {"torch": torch.__version__.split("+")[0], "timm": timm.__version__}
    if versions != PINNED:
        raise SystemExit(f"golden numbers are made with {PINNED}, found {versions}")
    arrays: dict[str, np.ndarray] = {}
    for label, case in CASES.items():
        print(label, flush=True)
        arrays |= run(label, case)
    for old, new in RESIZES:
        arrays |= resize(old, new)
    models = {name: describe(name) for name in sorted({case["model"] for case in CASES.values()})}
    notes = {"versions": versions, "cases": CASES, "resizes": RESIZES, "models": models}
    here = Path(__file__).parent
    np.savez_compressed(here / "vit.npz", **arrays)
    (here / "vit.json").write_text(json.dumps(notes, indent=1) + "\n")


if __name__ == "__main__":
    main()
