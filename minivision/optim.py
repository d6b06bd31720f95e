"""Optimisers, with torch.optim's names, arguments, defaults and numbers.

The arithmetic over all parameters of a group sits in one function of plain arrays (`sgd_update`, `adamw_update`); the
classes keep the state and choose who is updated. An update writes into the parameters' own memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import kernels
from ._optimizer import Optimizer, leaves, settings_of
from .backend import get_backend
from .tape import Tensor

Arrays = Sequence[np.ndarray]


def sgd_update(
    params: Arrays, grads: Arrays, momentum_buffer: Arrays,
    step: int, lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: bool,
) -> None:  # fmt: skip
    """g += weight_decay p;  b = momentum b + (1 - dampening) g  (at step 1, b = g);  p -= lr b

    With nesterov, p -= lr (g + momentum b); without momentum, p -= lr g.   Sutskever et al. 2013, with lr outside b as in
    torch.  Writes params and momentum_buffer.
    """
    settings = lr, momentum, 1.0 - dampening, weight_decay, step == 1, nesterov
    if get_backend() == "c" and kernels.sgd(params, grads, momentum_buffer, *settings):
        return
    for p, g, b in zip(params, grads, momentum_buffer if momentum else params, strict=True):
        if weight_decay:
            g = g + weight_decay * p
        if momentum:
            b[...] = g if step == 1 else momentum * b + (1.0 - dampening) * g
            g = g + momentum * b if nesterov else b
        p -= lr * g


def adamw_update(
    params: Arrays, grads: Arrays, exp_avg: Arrays, exp_avg_sq: Arrays,
    step: int, lr: float, betas: tuple[float, float], eps: float, weight_decay: float,
) -> None:  # fmt: skip
    """p -= lr weight_decay p;  m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2;  p -= lr m' / (sqrt v' + eps)

    m' = m / (1 - b1^step),  v' = v / (1 - b2^step);  step counts from 1.
    Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2.  Writes params, exp_avg and exp_avg_sq.
    """
    (b1, b2), size = betas, lr / (1.0 - betas[0] ** step)
    root = math.sqrt(1.0 - b2**step)
    if get_backend() == "c" and kernels.adamw(
        params, grads, exp_avg, exp_avg_sq, b1, b2, 1.0 - lr * weight_decay, size, root, eps
    ):
        return
    for p, g, m, v in zip(params, grads, exp_avg, exp_avg_sq, strict=True):
        p *= 1.0 - lr * weight_decay
        m *= b1
        m += (1.0 - b1) * g
        v *= b2
        v += (1.0 - b2) * g * g
        p -= size * m / (np.sqrt(v) / root + eps)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum; see sgd_update for the formula."""

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov)

    def _check(self, group: dict[str, Any], defaults: Mapping[str, Any]) -> None:
        super()._check(group, defaults)
        if group["nesterov"] and (group["momentum"] == 0.0 or group["dampening"] != 0.0):
            raise ValueError("nesterov needs momentum above 0 and no dampening")

    def _slots(self, momentum: Any) -> tuple[str, ...]:
        return ("momentum_buffer",) if np.any(momentum) else ()

    def _update(self, params: list[Tensor], grads: list[np.ndarray], group: dict[str, Any], step: int) -> None:
        buffers = self._slot("momentum_buffer", params) if group["momentum"] else []
        sgd_update([p.data for p in params], grads, buffers, step, **settings_of(group))


class AdamW(Optimizer):
    """Adam with weight decay apart from the gradient; see adamw_update for the formula.  Loshchilov & Hutter 2019."""

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:  # fmt: skip
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _slots(self, momentum: Any) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _update(self, params: list[Tensor], grads: list[np.ndarray], group: dict[str, Any], step: int) -> None:
        moments = self._slot("exp_avg", params), self._slot("exp_avg_sq", params)
        adamw_update([p.data for p in params], grads, *moments, step, **settings_of(group))


class Adam(AdamW):
    """Adam, whose weight_decay is an L2 penalty: g + weight_decay p stands for g.  Kingma & Ba 2015."""

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay)

    def _update(self, params: list[Tensor], grads: list[np.ndarray], group: dict[str, Any], step: int) -> None:
        decay = group["weight_decay"]
        if decay:
            grads = [g + decay * p.data for g, p in zip(grads, params, strict=True)]
        super()._update(params, grads, {**group, "weight_decay": 0.0}, step)


def clip_grad_norm_(parameters: Any, max_norm: float) -> float:
    """Scales all gradients together so that their Euclidean norm is at most max_norm; returns the norm before.

    The scale is max_norm / (norm + 1e-6), as in torch. A norm that is infinite or NaN leaves the gradients as they are: no
    scale would mend them.
    """
    grads = [p.grad for p in leaves(parameters) if p.grad is not None]
    flat = [g.data.ravel() for g in grads]
    norm = math.sqrt(sum(float(np.einsum("i,i", x, x, dtype=np.float64)) for x in flat))  # float32's squares overflow at 1e19
    scale = max_norm / (norm + 1e-6)
    if scale < 1.0 and norm < math.inf:
        for g in grads:
            g.data *= scale
            g.version[0] += 1
    return norm


def layer_decay_groups(
    model: Any, layer: Callable[[str], int], lr: float, weight_decay: float = 0.05, layer_decay: float = 0.75,
    without: Sequence[str] = (),
) -> list[dict[str, Any]]:  # fmt: skip
    """Parameter groups for fine-tuning: layer l of the last one, L, learns at lr layer_decay^(L - l).

    layer: the number of a parameter's layer, from its name. Parameters of one axis, and those named in `without`, have no
    weight decay; what is not learned is left out. Clark et al. 2020 (ELECTRA), appendix A; Bao et al. 2022 (BEiT).
    """
    if not 0.0 < layer_decay <= 1.0:
        raise ValueError(
            f"layer_decay is what each earlier layer's rate is multiplied by, above 0 and up to 1, got {layer_decay}"
        )
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    last = max((layer(name) for name, _ in named), default=0)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, p in named:
        decays = p.ndim > 1 and name not in without
        settings = {"lr": lr * layer_decay ** (last - layer(name)), "weight_decay": weight_decay if decays else 0.0}
        groups.setdefault((layer(name), decays), {"params": [], **settings})["params"].append(p)
    return list(groups.values())
