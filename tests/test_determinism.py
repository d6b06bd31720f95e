"""The same bits for any number of threads and from run to run: forward, backward, and ten training steps."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import minivision as mv

needs_threads = pytest.mark.skipif(
    not mv.kernels.has_openmp(), reason="the kernels were built without OpenMP: there is one thread"
)


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = mv.get_num_threads()
    yield
    mv.set_num_threads(before)


class Convolutional(mv.nn.Module):
    """Every kind of convolution the kernels have: dense, strided, grouped, depthwise, pointwise."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mv.nn.Sequential(
            mv.nn.Conv2d(3, 32, 3, padding=1),
            mv.nn.BatchNorm2d(32),
            mv.nn.ReLU(),
            mv.nn.Conv2d(32, 32, 3, stride=2, padding=1, groups=32),
            mv.nn.Conv2d(32, 48, 1),
            mv.nn.GELU(),
            mv.nn.Conv2d(48, 48, 3, padding=2, dilation=2, groups=4),
            mv.nn.AdaptiveAvgPool2d(1),
            mv.nn.Flatten(),
            mv.nn.Linear(48, 10),
        )

    def forward(self, x):
        return self.body(x)


def small_vit():
    return mv.create_model("vit_tiny_patch16_224", img_size=64, depth=2, num_classes=10, drop_path_rate=0.1)


MODELS = {"vit": (small_vit, (6, 3, 64, 64)), "convolutional": (Convolutional, (6, 3, 33, 35))}


def fingerprint(name: str, threads: int, steps: int = 10) -> str:
    """A hash of every step's logits and input gradient, and of the parameters after the last one."""
    mv.manual_seed(0)
    mv.set_num_threads(threads)
    build, shape = MODELS[name]
    model = build().train()
    optimiser = mv.optim.AdamW(model.parameters(), lr=1e-3)
    images, labels = np.random.default_rng(1).standard_normal(shape, np.float32), np.arange(shape[0]) % 10
    bits = hashlib.sha256()
    for _ in range(steps):
        optimiser.zero_grad()
        x = mv.tensor(images, requires_grad=True)
        logits = model(x)
        mv.functional.cross_entropy(logits, labels).backward()
        bits.update(logits.numpy().tobytes() + x.grad.numpy().tobytes())
        optimiser.step()
    for _, values in sorted(model.state_dict().items()):
        bits.update(values.tobytes())
    return bits.hexdigest()


@needs_threads
@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("name", MODELS)
def test_the_bits_do_not_depend_on_the_number_of_threads(name, threads):
    assert fingerprint(name, threads) == fingerprint(name, 1)


def test_the_fingerprint_tells_nine_steps_from_ten():
    assert fingerprint("vit", 1, steps=9) != fingerprint("vit", 1)


@pytest.mark.parametrize("name", MODELS)
def test_the_bits_are_the_same_from_run_to_run(name):
    code = f"from test_determinism import fingerprint; print(fingerprint({name!r}, 2))"
    command, here = [sys.executable, "-W", "ignore", "-c", code], Path(__file__).parent
    runs = [subprocess.run(command, capture_output=True, text=True, check=True, cwd=here).stdout for _ in range(2)]
    assert runs[0] == runs[1] != ""
