"""Averaging weights leads to wider optima and better generalization.

Izmailov, Podoprikhin, Garipov, Vetrov, Wilson. UAI 2018, arXiv 1803.05407.

Late in training, at a learning rate that stays high, SGD wanders around a flat region and rarely visits its middle. The mean of
the weights on the way is that middle: one network, as large as any, that costs one running mean.

Why it helps, in one weight w with the loss a w^2 / 2 and gradients of noise s: at rate lr the weight's variance settles at
lr s^2 / (a (2 - lr a)), which a smaller rate makes smaller; the mean of T weights has the variance s^2 / (a^2 T) for large T,
whatever the rate.

Only parameters are averaged. The running statistics of batch normalisation are those of the weights that were trained, and
have to be measured anew for the mean: `update_batch_norm`. Rates: `schedule.swa`. Deviation: the mean is kept in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ._optimizer import Optimizer
from .nn import state as states
from .nn.module import Module
from .nn.normalization import _BatchNorm
from .recording import no_grad
from .tape import Tensor

__all__ = ["SWA", "update_batch_norm"]

INSIDE = "optimizer."  # before the names of the wrapped optimiser's state


class SWA(Optimizer):
    """Algorithm 1: an optimiser around another that also keeps the mean of the weights from step `start` on, every `every` steps.

    Step number t counts from 1 and is averaged in after it is taken, if t is start, start + every, start + 2 every, ...; with
    start=0 the weights as they are now count as the first, as in the paper, where they come from earlier training. start=None
    averages nothing by itself: call update(). step(), zero_grad(), param_groups and state_dict() go on to the wrapped optimiser,
    so that a Scheduler takes this one too. n_averaged counts what the mean is of.

        optimiser = SWA(optim.SGD(model.parameters(), lr=0.1, momentum=0.9), start=3 * steps // 4)
        ...
        with optimiser.averaged(model, batches):
            evaluate(model)
    """

    def __init__(self, optimizer: Optimizer, start: int | None = 0, every: int = 1) -> None:
        if (start is not None and start < 0) or every < 1:
            raise ValueError(f"SWA counts steps: start from 0, every from 1 up, got start={start}, every={every}")
        self.optimizer, self.start, self.every = optimizer, start, every
        self.param_groups = optimizer.param_groups
        self.state: dict[Tensor, dict[str, Any]] = {}  # {"mean": float64 array} of each parameter
        self.n_averaged = self.t = 0
        if start == 0:
            self.update()

    def step(self) -> None:
        """A step of the wrapped optimiser; then the mean, where this step is one of those."""
        self.optimizer.step()
        self.t += 1
        if self.start is not None and self.t >= self.start and (self.t - self.start) % self.every == 0:
            self.update()

    def update(self) -> None:
        """mean <- mean + (w - mean) / (n + 1),  n <- n + 1"""
        for p, _ in self._numbered():
            if self.n_averaged == 0:
                self.state[p] = {"mean": p.data.astype(np.float64)}
            else:
                mean = self.state[p]["mean"]
                mean += (p.data - mean) / (self.n_averaged + 1)
        self.n_averaged += 1

    def load_mean(self) -> None:
        """The parameters take the mean's values, for good; the last weights are gone. ValueError where nothing was averaged."""
        if self.n_averaged == 0:
            raise ValueError(f"SWA has averaged nothing yet: step {self.t}, the first to count is {self.start}")
        for p, _ in self._numbered():
            p.data[...] = self.state[p]["mean"]
            p.version[0] += 1

    @contextmanager
    def averaged(self, model: Module | None = None, batches: Iterable[Any] = ()) -> Iterator[None]:
        """Inside, the parameters are the mean; afterwards they are what they were, and training goes on.

        With a model, `update_batch_norm(model, batches)` inside, and its buffers too are afterwards what they were.
        """
        tensors = [p for p, _ in self._numbered()] + ([] if model is None else list(model.buffers()))
        kept = [t.data.copy() for t in tensors]
        try:
            self.load_mean()
            if model is not None:
                update_batch_norm(model, batches)
            yield
        finally:
            for t, values in zip(tensors, kept, strict=True):
                t.data[...] = values
                t.version[0] += 1

    def zero_grad(self) -> None:
        """Forgets every parameter's gradient."""
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, np.ndarray]:
        """What a resumed run needs: "t", "n_averaged", "mean.0", "mean.1", ..., and the wrapped optimiser's, "optimizer. ..."."""
        found = {"t": np.array(self.t), "n_averaged": np.array(self.n_averaged)}
        if self.n_averaged:
            found |= {f"mean.{i}": self.state[p]["mean"].copy() for i, (p, _) in enumerate(self._numbered())}
        return found | {INSIDE + name: values for name, values in self.optimizer.state_dict().items()}

    def load_state_dict(self, mapping: Mapping[str, Any]) -> None:
        """Takes what state_dict() gave; where it does not fit, CheckpointError, and nothing is loaded."""
        came = states.arrays(mapping)
        own = {name: values for name, values in came.items() if not name.startswith(INSIDE)}
        expected: dict[str, Any] = {"t": np.array(0), "n_averaged": np.array(0)}
        if own.get("n_averaged", np.array(0)).any():
            expected |= {f"mean.{i}": np.broadcast_to(0.0, p.shape) for i, (p, _) in enumerate(self._numbered())}
        states.check(type(self).__name__, expected, own)
        self.optimizer.load_state_dict({name.removeprefix(INSIDE): came[name] for name in came.keys() - own.keys()})
        self.t, self.n_averaged = int(own["t"]), int(own["n_averaged"])
        means = {p: own[f"mean.{i}"] for i, (p, _) in enumerate(self._numbered()) if self.n_averaged}
        self.state = {p: {"mean": np.array(mean, np.float64)} for p, mean in means.items()}


def update_batch_norm(model: Module, batches: Iterable[Any]) -> None:
    """Measures the running means and variances of a model's batch normalisations anew, in one pass over `batches`.

    Batch by batch with momentum b / (n + b), where b is the size of the batch and n that of all before it: after the pass each
    statistic is the mean of the batches' ones, weighted by their sizes, and nothing is left of what it was before.

    batches: of images, or tuples of images and what is not looked at. The model runs in training mode, as in the paper's code,
    and is afterwards in the modes that it was in. A model without running statistics is not run. ValueError where there is
    no batch; after an error the statistics are what they were.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms:
        return
    statistics = [b for m in norms for b in (m.running_mean, m.running_var, m.num_batches_tracked) if b is not None]
    kept = [b.data.copy() for b in statistics]
    momenta, modes = [m.momentum for m in norms], [(m, m.training) for m in model.modules()]
    n = 0
    try:
        model.train()
        for b in statistics:
            b.data[...] = 0  # numbers, whatever was there: the first batch's share is 1
        for batch in batches:
            x = batch[0] if isinstance(batch, (tuple, list)) else batch
            n += len(x)
            for m in norms:
                m.momentum = len(x) / n
            with no_grad():
                model(x)
        if n == 0:
            raise ValueError("update_batch_norm: no batch came; is the iterator used up?")
    except BaseException:
        for b, values in zip(statistics, kept, strict=True):
            b.data[...] = values
            b.version[0] += 1
        raise
    finally:
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum
        for each, mode in modes:
            each.training = mode
