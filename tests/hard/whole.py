"""Every published model, at its own depth, width and classes, beside its reference: python tests/hard/whole.py [NAME ...]

    NAME                a model, or a pattern such as "vgg*"; without any, all that golden/*.json describe
    --clones FOLDER     has clones of the repositories that some references come from (golden/make_PAPER.py says at which
                        commit), named as on GitHub; a model whose repository is not there is skipped, and said to be

In an environment that has this library and also torch, torchvision and timm at the versions in golden/reference.py. What the
suite holds is recorded, and so it is small: often fewer blocks or a narrow classifier, large gradients by their sketches.
Here both sides run: two images, in evaluation and in training mode, without dropout, the state filled by rule. Outputs,
buffers, and the gradients of the input and of every parameter are held number by number, in float64 to rounding and in
float32 to what the suite allows. Where a network enlarges rounding beyond that: to three times what the reference itself loses
in float32, and in float64 to ten times what it loses where last bits are moved (once each, while a sum rounds at every
product); either is then shown.

First a number is moved, which must be found. The program ends with status 1 where anything is off. Every model has a
process, and so its memory, to itself: the largest takes some 12 GB, and several minutes.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

import minivision as mv

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "golden")]
compare, miniatures = importlib.import_module("golden.compare"), importlib.import_module("miniatures")

CLONES = {"acnet": "ACNet", "cdcn": "CDCN", "csra": "CSRA", "micronet": "micronet", "nonlocal_net": "Non-local_pytorch"}
CLONES |= {"cswin": "CSWin-Transformer", "focal": "Focal-Transformer"}
MAKERS = {"vit": "make_golden", "inception_v4": "make_inception", "inception_resnet_v2": "make_inception"}  # others: make_PAPER
SIDE = 96  # pixels, from which a stride of 32 leaves 3 x 3
SIDES = {"inception_*": 139, "selecsls*": 128}  # that leave more than one place
OWN = ("alexnet", "vgg*", "micronet*", "*it_*", "*swin*", "focal*", "simmim*", "mixer*", "*former*", "sasa*", "axial*")
OWN += ("attention*",)  # models that are looked at on images of their own size
EVALUATED = ("dynamic_vit*",)  # in training mode they draw lots; golden/dynamic_vit.npz has a pass in which both draw the same
FEWER: dict[str, dict[str, int]] = {  # blocks, or heads, which are all alike, of models that are larger than 16 GB
    "mae_vit_large*": {"depth": 16}, "mae_vit_huge*": {"depth": 8}, "igpt_medium": {"n_layer": 12}, "igpt_large": {"n_layer": 6},
    "gpt3_1_3b": {"n_layer": 12}, "gpt3_2_7b": {"n_layer": 6}, "gpt3_6_7b": {"n_layer": 2},
    "gpt3_13b": {"n_layer": 2, "n_embd": 2560, "n_head": 20}, "gpt3_175b": {"n_layer": 2, "n_embd": 1536, "n_head": 12},
}  # fmt: skip
TOKENS = 64  # that are read at once
WHOLE = sys.maxsize  # gradients of any size are compared number by number
PLANTED, SEED = "vit_digits", 3  # SEED: of masks

Found = dict[str, tuple[float, str]]  # the worst error of outputs and buffers, and of gradients, and where it is


def published() -> dict[str, str]:
    """{model: paper} of all that the golden files describe."""
    files = sorted((TESTS / "golden").glob("*.json"))
    return {name: file.stem for file in files for name in json.loads(file.read_text())["models"]}


def builder(paper: str, clones: Path | None) -> Callable[..., Any] | None:
    """What makes a paper's references; None without the clone that it needs."""
    maker = importlib.import_module(MAKERS.get(paper, f"make_{paper}"))
    if hasattr(maker, "use_clone"):
        if clones is None or not (folder := clones / CLONES[paper]).is_dir():
            return None
        maker.use_clone(str(folder))
    if paper == "vit":
        return lambda name, **overrides: maker.build({"model": name, "overrides": overrides})
    return getattr(maker, "build", None) or maker.Logits


def case_of(name: str, train: bool) -> dict[str, Any]:
    """The model as it is but for dropout, and two images."""
    config = mv.models.entry(name).config
    overrides = {rate: 0.0 for rate in ("drop_rate", "drop_path_rate") if getattr(config, rate, 0.0)}
    overrides |= {"mask_seed": SEED} if hasattr(config, "mask_seed") else {}
    overrides |= next((fewer for pattern, fewer in FEWER.items() if fnmatch(name, pattern)), {})
    overrides |= {"band": 16} if hasattr(config, "band") else {}  # shorter than the text
    case = {"model": name, "batch": 2, "gradients": True, "train": train, "overrides": overrides}
    if len(config.input_shape) == 1:
        return {**case, "input": [min(*config.input_shape, TOKENS)], "tokens": config.vocab_size}
    channels, side, _ = config.input_shape
    if not any(fnmatch(name, pattern) for pattern in OWN):
        side = min(side, next((px for pattern, px in SIDES.items() if fnmatch(name, pattern)), SIDE))
    return {**case, "input": [channels, side, side]}


def worst(case: dict[str, Any], dtype: Any, state: dict[str, Any], exact: dict[str, np.ndarray]) -> Found:
    """How far this library is off in an element type; what is not a number is infinitely far."""
    model = mv.create_model(case["model"], **case["overrides"]).to(dtype).train(case["train"])
    model.load_state_dict(state)
    found: Found = {}
    for kind, entry, error in compare.differences(model, case, exact, WHOLE):
        group = "gradient" if kind == "gradient" else "output"
        error = math.inf if np.isnan(error) else float(error)
        found[group] = max(found.get(group, (0.0, "")), (error, entry))
    return found


def shown(found: Found) -> str:
    """Two errors, and the parameter of the second."""
    return f"{found['output'][0]:7.1e} {found['gradient'][0]:7.1e} {found['gradient'][1]:38}"


def shaken(model: Any, case: dict[str, Any], exact: dict[str, np.ndarray], sizes: list[int], whole: int) -> np.ndarray:
    """How far the reference in float64 is off where the last bits of all weights, and of all that its innermost modules give,
    move up or down by lot; the worst of three.
    """
    reference, torch = importlib.import_module("reference"), importlib.import_module("torch")
    lots = torch.Generator().manual_seed(0)

    def moved(values: Any) -> Any:
        signs = torch.randint(2, values.shape, generator=lots).double() * 2 - 1
        return values * (1.0 + np.finfo(np.float64).eps * signs)

    def move(module: Any, inputs: Any, output: Any) -> Any:
        return moved(output) if isinstance(output, torch.Tensor) and output.dtype == torch.float64 else output

    def move_weights(module: Any, inputs: Any) -> None:
        for parameter in module.parameters():
            parameter.data = moved(parameter.data)

    model.register_forward_pre_hook(move_weights)
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(move)
    runs = (reference.passed(model.double(), case, whole=whole)[0] for _ in range(3))
    return np.max([reference.off(run, exact, sizes) for run in runs], axis=0)


def hold(build: Callable[..., Any], name: str, train: bool) -> bool:
    """Runs both sides, prints the line; whether all is as it should be."""
    reference, began = importlib.import_module("reference"), time.monotonic()
    case = case_of(name, train)
    exact, sizes = reference.passed(build(name, **case["overrides"]).double(), case, whole=WHOLE)
    state = miniatures.fill(mv.create_model(name, **case["overrides"])).state_dict()
    double, single = (worst(case, dtype, state, exact) for dtype in (np.float64, np.float32))
    line, verdicts = f"{name:26} {'train' if train else 'eval':5} {case['input'][-1]:3}  {shown(double)} {shown(single)}", []
    for found, bounds in ((double, compare.BOUNDS[np.float64]), (single, compare.BOUNDS[np.float32])):
        verdicts.append(found["output"][0] <= bounds[0] and found["gradient"][0] <= bounds[1])
    ways = [("last bits", shaken, 10.0, double, np.float64), ("reference", reference.lost, 3.0, single, np.float32)]
    for i, (kind, way, times, found, dtype) in enumerate(ways):
        if not verdicts[i]:
            loss = way(build(name, **case["overrides"]), case, exact, sizes, whole=WHOLE)
            line += f" ({kind} {loss[0]:.1e} {loss[1]:.1e})"
            allowed = np.maximum(times * loss, compare.BOUNDS[dtype])
            verdicts[i] = found["output"][0] <= allowed[0] and found["gradient"][0] <= allowed[1]
    said = " and ".join(f"OFF in {kind}" for kind, right in zip(("float64", "float32"), verdicts, strict=True) if not right)
    print(f"{line} {said or 'ok'}, {time.monotonic() - began:.0f} s", flush=True)
    return not said


def finds_what_is_planted() -> bool:
    """One weight of one model, moved by a millionth, is to be seen in outputs and gradients."""
    reference, case = importlib.import_module("reference"), case_of(PLANTED, False)
    build = builder(published()[PLANTED], None)
    assert build is not None
    exact, _ = reference.passed(build(PLANTED), case, whole=WHOLE)
    state = miniatures.fill(mv.create_model(PLANTED).to(np.float64)).state_dict()
    state["blocks.1.mlp.fc1.weight"][3, 5] += 1e-6
    found, bounds = worst(case, np.float64, state, exact), compare.BOUNDS[np.float64]
    return found["output"][0] > bounds[0] and found["gradient"][0] > bounds[1]


def alone(name: str, paper: str, clones: Path | None) -> int:
    """One model in both modes."""
    if name == PLANTED and not finds_what_is_planted():
        print("a weight that was moved by a millionth is not found", flush=True)
        return 1
    if (build := builder(paper, clones)) is None:
        print(f"{name:26} skipped: no clone of {CLONES[paper]} (--clones)", flush=True)
        return 0
    modes = (False,) if any(fnmatch(name, pattern) for pattern in EVALUATED) else (False, True)
    return int(not all(list(map(functools.partial(hold, build, name), modes))))


def main() -> int:
    """0 where every model is equal to its reference."""
    options = argparse.ArgumentParser(description="Holds whole models against their references.")
    options.add_argument("names", nargs="*", metavar="NAME", help="models or patterns; all where none is given")
    options.add_argument("--clones", type=Path, help="the folder with the clones that some references come from")
    options.add_argument("--alone", action="store_true", help="that model in this process")
    chosen, papers = options.parse_args(), published()
    if chosen.alone:
        return alone(chosen.names[0], papers[chosen.names[0]], chosen.clones)
    names = [name for name in papers if not chosen.names or any(fnmatch(name, pattern) for pattern in chosen.names)]
    if not names:
        sys.exit(f"no model of {', '.join(papers)} is called {' or '.join(chosen.names)}")
    print(f"{'model':26} {'mode':5} {'px':3}  {'float64: output, gradient, where':54} float32", flush=True)
    command = [sys.executable, __file__, *(["--clones", str(chosen.clones)] if chosen.clones else []), "--alone"]
    ended = {name: subprocess.run([*command, name]).returncode for name in dict.fromkeys([PLANTED, *names])}
    off = [f"{name} (status {status})" for name, status in ended.items() if status]
    print(f"{len(ended)} models: {', '.join(off) or 'none'} off")
    return int(bool(off))


if __name__ == "__main__":
    sys.exit(main())
