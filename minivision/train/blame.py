"""Where NaN or infinity came from: the batch that gave it is run once more, and every module is watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..recording import no_grad
from ..tape import Tensor


def forward_fault(model: Any, images: np.ndarray) -> str:
    """The first thing in the forward pass that is not finite: the images, a parameter, a module's output, or else the loss."""
    if not np.isfinite(images).all():
        return "the images of this batch"
    for path, parameter in model.named_parameters():
        if not np.isfinite(parameter.data).all():
            return f"the parameter {path}, itself {kind(parameter.data)}"
    return _module_fault(model, images) or "the loss itself"


def gradient_fault(model: Any) -> str:
    """The parameter nearest to the loss whose gradient is not finite, or else the length of all gradients together."""
    for path, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is not None and not np.isfinite(parameter.grad.data).all():
            return f"the gradient of {path} ({kind(parameter.grad.data)})"
    return "the length of the gradient: each of its numbers is finite, the sum of their squares is not"


def kind(array: np.ndarray) -> str:
    """NaN or infinite."""
    return "NaN" if np.isnan(array).any() else "infinite"


def _module_fault(model: Any, images: np.ndarray) -> str:
    """The innermost module that first made a value that is not finite. Hooks run in the order in which modules finish."""
    found: list[str] = []

    def watcher(path: str) -> Callable[..., None]:
        def watch(module: Any, inputs: Any, output: Any) -> None:
            bad = next((a for a in arrays(output) if not np.isfinite(a).all()), None)
            if bad is not None and not found:
                found.append(f"the output of {path or 'the model'} ({type(module).__name__}), which is {kind(bad)}")

        return watch

    handles = [module.register_forward_hook(watcher(path)) for path, module in model.named_modules()]
    try:
        with no_grad():
            model(Tensor(images))
    finally:
        for handle in handles:
            handle.remove()
    return "".join(found)


def arrays(output: Any) -> Iterator[np.ndarray]:
    """Every floating-point array in a module's output: a Tensor, or tuples, lists and dictionaries of them."""
    if isinstance(output, Tensor):
        if output.dtype.kind == "f":
            yield output.data
    elif isinstance(output, (tuple, list, dict)):
        for each in output.values() if isinstance(output, dict) else output:
            yield from arrays(each)
