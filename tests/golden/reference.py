"""Records what a reference model computes; each make_PAPER.py names its models and cases and calls `write`.

The reference runs in float64 on weights, buffers and inputs filled by rule (weights.py). PAPER.json has the cases, every
model's entries, parameters and multiply-adds, and the versions; PAPER.npz has for each case
    LABEL/output    what the model returns (of several, one after the other: LABEL/output0, ...)
    LABEL/norms, LABEL/sketches   where the case asks for gradients: of <outputs, random cotangents> with respect to the
                    input and every parameter, in order
    LABEL/buffers   in training mode, the sketches of all buffers after the pass
    LABEL/single    how far the reference is off in float32 in the worst of WAYS, as parts of the largest output and of a
                    gradient's norm: rounding puts a number on the other side of a ReLU's corner, and a batch norm of few
                    samples enlarges it

A case: model, input (C, H, W), batch; overrides of create_model, where there are any; train: training mode; gradients;
tokens: for a model that reads whole numbers, input (T), how many different ones there are.
Dropout and stochastic depth are to be off in training cases.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from weights import PROBES, noise, numbers, sketch, weight

HERE = Path(__file__).parent
PINNED = {"torch": "2.13.0", "torchvision": "0.28.0", "timm": "1.0.31", "transformers": "5.23.0"}
Rename = Callable[[str], str]


def fill(model: torch.nn.Module, rename: Rename = str) -> torch.nn.Module:
    """Every entry of the state by rule, under the name that it has here."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(torch.from_numpy(weight(rename(name), tuple(value.shape))))
    return model


def outputs(y: Any) -> list[torch.Tensor]:
    """What a model returns, as a list."""
    return [y] if isinstance(y, torch.Tensor) else [part for each in y for part in outputs(each)]


SMALL = 1e-3  # of the whole gradient's norm: a parameter that counts for less, or for nothing, is held by this


def off(found: dict[str, np.ndarray], exact: dict[str, np.ndarray], sizes: list[int]) -> np.ndarray:
    """How far outputs and gradients are off: the worst output, the worst gradient's sketch."""
    outs = [np.abs(found[k] - exact[k]).max() / np.abs(exact[k]).max() for k in exact if k.startswith("output")]
    if "norms" not in exact:
        return np.array([max(outs), 0.0])
    ends = np.cumsum(sizes)[:-1]
    parts = zip(np.split(found["sketches"], ends), np.split(exact["sketches"], ends), exact["norms"], strict=True)
    least = SMALL * np.linalg.norm(exact["norms"])
    return np.array([max(outs), max(np.linalg.norm(a - b) / max(norm, least) for a, b, norm in parts)])


WAYS = [(layout, fused) for layout in (torch.contiguous_format, torch.channels_last) for fused in (True, False)]


def run(model: torch.nn.Module, case: dict[str, Any], rename: Rename = str) -> dict[str, np.ndarray]:
    """The arrays of one case."""
    exact, sizes = passed(model.double(), case, rename)
    return exact | {"single": lost(model, case, exact, sizes, rename)}


def lost(
    model: torch.nn.Module,
    case: dict[str, Any],
    exact: dict[str, np.ndarray],
    sizes: list[int],
    rename: Rename = str,
    whole: int = PROBES,
) -> np.ndarray:
    """How far the reference is off in float32, in the worst of WAYS: outputs, gradients."""
    singles = []
    for layout, fused in WAYS:
        with torch.backends.mkldnn.flags(enabled=fused):
            singles.append(off(passed(model.float(), case, rename, layout, whole)[0], exact, sizes))
    return np.max(singles, axis=0)


def passed(
    model: torch.nn.Module,
    case: dict[str, Any],
    rename: Rename = str,
    layout: Any = torch.contiguous_format,
    whole: int = PROBES,
) -> tuple[dict[str, np.ndarray], list[int]]:
    """The arrays of one case in the model's element type, and each gradient's numbers in its sketch.

    whole: the size up to which buffers and gradients are kept as they are.
    """
    dtype = next(model.parameters()).dtype
    model = fill(model, rename).train(case.get("train", False))
    model.zero_grad()
    sizes: list[int] = []
    shape = case["batch"], *case["input"]
    if "tokens" in case:
        x = torch.from_numpy(numbers("input", shape, case["tokens"]))
    else:
        x = torch.from_numpy(noise("input", shape)).to(dtype, memory_format=layout).requires_grad_()
    ys = outputs(model(x))
    names = ["output"] if len(ys) == 1 else [f"output{i}" for i in range(len(ys))]
    found = {name: y.detach().numpy().copy() for name, y in zip(names, ys, strict=True)}
    if case.get("train"):
        buffers = {name: b.double().numpy() for name, b in model.named_buffers() if name in model.state_dict()}
        found["buffers"] = np.concatenate([np.empty(0), *(sketch(rename(name), b, whole) for name, b in buffers.items())])
    if case.get("gradients"):
        loss = sum(
            (y * torch.from_numpy(noise(f"cotangent{i or ''}", tuple(y.shape)))).sum()
            for i, y in enumerate(ys)
            if y.requires_grad
        )
        loss.backward()
        parameters = {name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in model.named_parameters()}
        gradients = {"input": x.grad} if x.requires_grad else {}
        gradients |= {rename(name): g for name, g in parameters.items()}
        sketches = [sketch(name, g.double().numpy(), whole) for name, g in gradients.items()]
        found["norms"] = np.array([np.linalg.norm(g.double().numpy()) for g in gradients.values()])
        found["sketches"], sizes = np.concatenate(sketches), [each.size for each in sketches]
    return found, sizes


def describe(build: Callable[..., torch.nn.Module], name: str, shape: tuple[int, ...], rename: Rename = str) -> dict[str, Any]:
    """A whole model's entries with their shapes, its parameters and the multiply-adds of one input, counted without memory."""
    with torch.device("meta"):
        model = build(name).eval().to("meta")  # what a constructor put elsewhere
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.empty(1, *shape, device="meta", dtype=torch.float32 if len(shape) > 1 else torch.int64))
    keys = {rename(key): "x".join(map(str, value.shape)) for key, value in model.state_dict().items()}
    return {"params": sum(p.numel() for p in model.parameters()), "macs": counter.get_total_flops() // 2, "keys": keys}


def write(
    paper: str,
    build: Callable[..., torch.nn.Module],
    cases: dict[str, dict[str, Any]],
    shapes: dict[str, tuple[int, ...]],
    libraries: Iterable[Any] = (),
    rename: Rename = str,
    more: dict[str, np.ndarray] | None = None,
) -> None:
    """PAPER.json and PAPER.npz.

    build(name, **overrides) makes the reference of a model of this library; shapes: every model's input (C, H, W), or (T) of
    tokens, whose size is counted; rename: from the reference's entry names to this library's; libraries: modules whose
    versions matter; more: arrays that the paper's own tests use.
    """
    versions = {module.__name__: module.__version__.split("+")[0] for module in (torch, *libraries)}
    if wrong := {name: found for name, found in versions.items() if found != PINNED[name]}:
        raise SystemExit(f"golden numbers are made with {PINNED}, found {wrong}")
    arrays = dict(more or {})
    for label, case in cases.items():
        print(label, flush=True)
        found = run(build(case["model"], **case.get("overrides", {})), case, rename)
        arrays |= {f"{label}/{name}": array for name, array in found.items()}
    models = {name: describe(build, name, shape, rename) for name, shape in shapes.items()}
    notes = {"versions": versions, "cases": cases, "models": models}
    np.savez_compressed(HERE / f"{paper}.npz", **arrays)
    (HERE / f"{paper}.json").write_text(json.dumps(notes, indent=1) + "\n")


def both_modes(
    name: str, shape: tuple[int, int, int] = (3, 96, 96), batch: int = 3, label: str = "", **overrides: Any
) -> dict[str, dict[str, Any]]:
    """The usual two cases of a model, with gradients: evaluation and training mode."""
    case = {"model": name, "input": list(shape), "batch": batch, "gradients": True, "overrides": overrides}
    return {f"{label or name} eval": case, f"{label or name} train": {**case, "train": True}}
