"""A model for inference: batch norms folded into what they follow, and blocks put in their fused form.

In evaluation a batch norm is y = s x + t, channel by channel. Behind a convolution W x + b that is another convolution,
(s W) x + (s b + t), so that the norm's pass over memory goes (Ioffe & Szegedy 2015, section 3.1, has the running statistics).

Which norm follows which convolution is seen, not guessed from names: the model runs once on an example, and each
convolution's output is a Tensor that notices who reads it.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from .. import functional as F
from ..ops.batch_norm import check_activation
from ..recording import no_grad
from ..tape import Tensor
from .conv import _Conv, _ConvTranspose
from .linear import Linear
from .module import Module
from .normalization import _BatchNorm
from .parameter import Parameter

__all__ = ["Folded", "affine", "fuse"]

Array = np.ndarray


def fuse(model: Module, example: Any = None) -> Any:
    """A copy of the model for inference, in evaluation mode, equal to rounding and faster; the model stays as it was.

    Every module with a method `fused()` is replaced by the module which that returns. Then each batch norm that is the only
    reader of one convolution's, transposed convolution's or linear layer's output is folded into it; a Folded stands in its
    place and does the rest of its pass, a residual and an activation. Left alone are layers that are called more than once, and
    those that have hooks or a forward of their own. Entries of the state dict go with the norms; a biased layer has a new `bias`.

    example: one input with its batch axis, or a tuple of several; without it, zeros of `model.config.input_shape`. What the
    example shows is taken for what every input does, and so are calls of forward alone.
    ValueError where there is neither. Calling train() on the copy raises RuntimeError: its statistics are gone.
    """
    inputs = _inputs(model, example)
    twin = _replaced(_copied(model), _own_form).eval()
    uses = _watch(twin, inputs)
    for use in uses:
        _fold(use)
    gone = {use.norm for use in uses}
    twin = _replaced(twin, lambda module: Folded().eval() if module in gone else module)
    vars(twin)["train"] = partial(_train, twin)
    return twin


class Folded(Module):
    """Where a batch norm stood that is folded into the layer before it: what else it was asked to do."""

    def forward(self, x: Any, *, residual: Any = None, activation: str | None = None) -> Any:
        """x, with a residual added, and cut off at 0 by activation="relu", as the norm's forward."""
        check_activation(activation)
        y = x if residual is None else x + residual
        return y if activation is None else F.relu(y)


def _train(model: Module, mode: bool = True) -> Module:
    """The fused model's train()."""
    if mode:
        what = f"this {type(model).__name__} is fused for inference: the statistics of its norms are gone"
        raise RuntimeError(f"{what}; train the model that it was made from, and fuse again")
    return type(model).train(model, False)


def _inputs(model: Module, example: Any) -> tuple[Any, ...]:
    """What to call the model with."""
    if example is not None:
        return example if isinstance(example, tuple) else (example,)
    shape = getattr(config := getattr(model, "config", None), "input_shape", None)
    if shape is None:
        raise ValueError(f"fuse runs {type(model).__name__} once: give it an example, for the model has no config.input_shape")
    floats = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    return (Tensor(np.zeros((1, *shape), getattr(config, "input_dtype", floats))),)


def _copied(model: Module) -> Any:
    """A copy without gradients."""
    twin = copy.deepcopy(model, {id(p.grad): None for p in model.parameters() if p.grad is not None})
    vars(twin).pop("train", None)  # of a model that is fused already
    return twin


def _own_form(module: Module) -> Module:
    return module.fused() if hasattr(module, "fused") else module


def _replaced(module: Any, new: Callable[[Module], Module], done: dict[Module, Module] | None = None) -> Any:
    """The tree with new(module) in place of each module, wherever it stands; what is inside a new one is left."""
    done = {} if done is None else done
    if module not in done:
        done[module] = new(module)
        if done[module] is module:
            for name, child in [(name, each) for name, each in vars(module).items() if isinstance(each, Module)]:
                setattr(module, name, _replaced(child, new, done))
    return done[module]


# ----------------------------------------------------------------------------------------------------- the data's flow


@dataclass(eq=False)
class _Use:
    """A layer, the norm that read its output, and what speaks against folding one into the other."""

    layer: Any
    norm: Any = None
    calls: int = 0
    inside: bool = False  # the layer or the norm is at work: what is read now is theirs to read
    elsewhere: bool = False  # somebody else has read the output, or the layer's weight
    output: Any = field(default=None, repr=False)  # a weak reference

    def folds(self) -> bool:
        """Whether the norm, and nothing else, has had the output, and nobody has kept it."""
        return self.norm is not None and self.calls == 1 and not self.elsewhere and self.output() is None


class _Watched(Tensor):
    """A Tensor that notes in `use` when its values are read by others; its shape may be looked at."""

    __slots__ = ("use", "values")
    shape = property(lambda self: self.values.shape)
    ndim = property(lambda self: self.values.ndim)
    dtype = property(lambda self: self.values.dtype)

    def __init__(self, values: Array, use: _Use) -> None:
        self.use = use
        super().__init__(values)

    def _read(self) -> Array:
        self.use.elsewhere |= not self.use.inside
        return self.values

    def _write(self, values: Array) -> None:
        self.values: Array = values

    data = property(_read, _write)


def _watch(model: Module, inputs: tuple[Any, ...]) -> list[_Use]:
    """Runs the model with eyes on its layers and norms: the uses that can be folded."""
    modules = [module for module in model.modules() if _is_plain(module)]
    uses = {module: _Use(module) for module in modules if not isinstance(module, _BatchNorm)}
    seen: dict[Module, list[_Use | None]] = {module: [] for module in modules if isinstance(module, _BatchNorm)}
    parameters = {use: {name: p for name, p in vars(use.layer).items() if isinstance(p, Parameter)} for use in uses.values()}
    for use in uses.values():
        vars(use.layer).update({name: _Watched(p.data, use) for name, p in parameters[use].items()})
        vars(use.layer)["forward"] = partial(_produce, use)
    for norm, readings in seen.items():
        vars(norm)["forward"] = partial(_normalise, norm, readings)
    with no_grad():
        outputs = model(*inputs)
        folding = [use for use in uses.values() if use.folds() and len(seen[use.norm]) == 1]
    del outputs  # until here: what the model returns is kept by somebody
    for module in modules:
        del vars(module)["forward"]
    for use in uses.values():
        vars(use.layer).update(parameters[use])
    return folding


KINDS: tuple[Any, ...] = (Linear, _Conv, _ConvTranspose, _BatchNorm)


def _is_plain(module: Any) -> bool:
    """Whether a layer or norm does what its kind does, with its own parameters, and in evaluation needs no batch."""
    kind = next((kind for kind in KINDS if isinstance(module, kind)), None)
    if (
        kind is None
        or type(module).forward is not kind.forward
        or "forward" in vars(module)
        or module._hooks
        or module._pre_hooks
    ):
        return False
    return module.running_mean is not None if kind is _BatchNorm else isinstance(module.weight, Parameter)


def _produce(use: _Use, *args: Any, **kwargs: Any) -> Any:
    """The layer's forward, whose output is watched where its axis 1, and no other, has the layer's channels."""
    use.calls += 1
    use.inside = True
    y = type(use.layer).forward(use.layer, *args, **kwargs)
    use.inside = False
    if y.ndim != getattr(use.layer, "axes", 0) + 2:
        return y
    watched = _Watched(y.data, use)
    use.output = weakref.ref(watched)
    return watched


def _normalise(norm: Any, readings: list[_Use | None], *args: Any, **kwargs: Any) -> Any:
    """The norm's forward; a watched input is the norm's to read where it is not the residual too."""
    alone = len(args) == 1 and isinstance(args[0], _Watched) and kwargs.get("residual") is not args[0]
    use = args[0].use if alone else None
    readings.append(use)
    if use is None or use.norm is not None:
        return type(norm).forward(norm, *args, **kwargs)
    use.norm, use.inside = norm, True
    y = type(norm).forward(norm, *args, **kwargs)
    use.inside = False
    return y


# ------------------------------------------------------------------------------------------------------------ folding


def affine(weight: Array | None, bias: Array | None, mean: Array, var: Array, eps: float) -> tuple[Array, Array]:
    """A batch norm in evaluation as scale x + shift: scale = weight / sqrt(var + eps), shift = bias - mean scale.

    All (C,), the results in float64; a weight of None is 1, a bias of None 0.
    """
    scale = 1.0 / np.sqrt(np.asarray(var, np.float64) + eps)
    scale = scale if weight is None else weight * scale
    return scale, (0.0 if bias is None else bias) - mean * scale


def norm_affine(norm: Any) -> tuple[Array, Array]:
    """The same of a layer."""
    weight, bias = (None if p is None else p.data for p in (norm.weight, norm.bias))
    return affine(weight, bias, norm.running_mean.data, norm.running_var.data, norm.eps)


def _fold(use: _Use) -> None:
    """scale (W x + b) + shift = (scale W) x + (scale b + shift), as the layer's new parameters."""
    layer, (scale, shift) = use.layer, norm_affine(use.norm)
    weight, bias = layer.weight, 0.0 if layer.bias is None else layer.bias.data
    layer.weight = Parameter(_scaled(layer, weight.data, scale), dtype=weight.dtype, requires_grad=weight.requires_grad)
    layer.bias = Parameter(scale * bias + shift, dtype=weight.dtype, requires_grad=weight.requires_grad)


def _scaled(layer: Any, weight: Array, scale: Array) -> Array:
    """Each output channel's weights times its scale (out,): weight (out, in / g, *k), or of a transpose (in, out / g, *k).

    Of a transpose, the j-th of g groups has the j-th part of the inputs and the j-th part of the outputs.
    """
    if not isinstance(layer, _ConvTranspose):
        return (weight.reshape(len(scale), -1) * scale[:, None]).reshape(weight.shape)  # (out, in / g, *k)
    groups = layer.groups
    parts = weight.reshape(groups, len(weight) // groups, len(scale) // groups, -1)  # (g, in / g, out / g, positions)
    return (parts * scale.reshape(groups, 1, -1, 1)).reshape(weight.shape)  # (in, out / g, *k)
