"""One training step of a small vision transformer, here and in PyTorch, in alternating processes of one run.

    python tests/bench/training_step.py --torch PYTHON [--rounds 5] [--steps 100]

PYTHON is an interpreter that has torch. Width 64, depth 4, 4 heads, 17 tokens, batch 64: forward, backward and AdamW
(PyTorch's fused one). Prints each round's median in milliseconds and the ratio of the medians (above 1: minivision is
faster). Nothing else of the project needs PyTorch.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

WIDTH, DEPTH, HEADS, BATCH, CLASSES = 64, 4, 4, 64, 10


def minivision_step() -> Callable[[], Any]:
    """The library's own model and optimiser."""
    import minivision as mv

    model = mv.create_model("vit_digits")
    optimiser = mv.optim.AdamW(model.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    images = mv.tensor(rng.standard_normal((BATCH, 1, 8, 8), np.float32))
    labels = rng.integers(0, CLASSES, BATCH)

    def step() -> None:
        optimiser.zero_grad()
        mv.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()

    return step


def torch_model() -> Any:
    """The same model as a PyTorch user would write it."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
            self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            heads = self.qkv(self.norm1(x)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
            x = x + self.proj(F.scaled_dot_product_attention(*heads.unbind(0)).transpose(1, 2).flatten(2))
            return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.blocks = nn.Conv2d(1, WIDTH, 2, 2), nn.Sequential(*(Block() for _ in range(DEPTH)))
            self.first, self.positions = nn.Parameter(torch.zeros(1, 1, WIDTH)), nn.Parameter(0.02 * torch.randn(1, 17, WIDTH))
            self.norm, self.head = nn.LayerNorm(WIDTH, eps=1e-6), nn.Linear(WIDTH, CLASSES)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.first.expand(len(x), -1, -1), x], 1) + self.positions
            return self.head(self.norm(self.blocks(x))[:, 0])

    return Model()


def torch_step() -> Callable[[], Any]:
    """PyTorch's model, and its fused optimiser."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.manual_seed(0)
    model = torch_model()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    images, labels = torch.randn(BATCH, 1, 8, 8), torch.randint(0, CLASSES, (BATCH,))

    def step() -> None:
        optimiser.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimiser.step()

    return step


def median_milliseconds(step: Callable[[], Any], steps: int) -> float:
    """The median of `steps` timed steps after 20 that are not counted."""
    times = []
    for number in range(steps + 20):
        start = time.perf_counter()
        step()
        times += [time.perf_counter() - start] if number >= 20 else []
    return 1e3 * statistics.median(times)


def main() -> None:
    """Runs both in turn, each round in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", choices=["minivision", "torch"], help="time one of them in this process and print the median")
    options = parser.parse_args()
    if options.only:
        print(median_milliseconds({"minivision": minivision_step, "torch": torch_step}[options.only](), options.steps))
        return
    medians: dict[str, list[float]] = {"minivision": [], "torch": []}
    for _ in range(options.rounds):
        for name, python in {"minivision": sys.executable, "torch": options.torch or sys.executable}.items():
            command = [python, __file__, "--only", name, "--steps", str(options.steps)]
            medians[name].append(float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))
        print("  ".join(f"{name} {times[-1]:6.2f} ms" for name, times in medians.items()))
    ours, theirs = (statistics.median(medians[name]) for name in ("minivision", "torch"))
    print(f"median of {options.rounds} rounds: minivision {ours:.2f} ms, torch {theirs:.2f} ms, ratio {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
