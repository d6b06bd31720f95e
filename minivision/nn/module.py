"""Module: a function with parameters, and a tree of those.

Everything lies in the instance's own attributes: assigning a Parameter or a Module registers it, in that order. No
attribute access is intercepted, so a lookup costs what Python's costs.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..tape import Tensor
from . import state
from .parameter import Parameter


class Handle:
    """What registering a hook returns: `remove()` takes the hook away; as a `with` block, it does so at the end."""

    _numbers = itertools.count()

    def __init__(self, hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> None:
        self._hooks, self._number = hooks, next(self._numbers)
        hooks[self._number] = hook

    def remove(self) -> None:
        """Takes the hook away; a second time does nothing."""
        self._hooks.pop(self._number, None)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Module:
    """Base of every layer and model: subclasses assign parameters and modules in __init__ and define forward()."""

    training = True
    _buffers: Mapping[str, bool] = {}  # name -> whether it belongs to the state dict
    _pre_hooks: Mapping[int, Callable[..., Any]] = {}
    _hooks: Mapping[int, Callable[..., Any]] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._pre_hooks or self._hooks:
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except ShapeError as error:
            error.entered(self)
            raise

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook in tuple(self._pre_hooks.values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = self.forward(*args, **kwargs)
        for hook in tuple(self._hooks.values()):
            changed = hook(self, args, output)
            output = output if changed is None else changed
        return output

    def register_forward_pre_hook(self, hook: Callable[[Any, tuple[Any, ...]], Any]) -> Handle:
        """hook(module, args) runs before forward; what it returns, unless None, replaces the positional arguments."""
        return Handle(self.__dict__.setdefault("_pre_hooks", {}), hook)

    def register_forward_hook(self, hook: Callable[[Any, tuple[Any, ...], Any], Any]) -> Handle:
        """hook(module, args, output) runs after forward; what it returns, unless None, replaces the output."""
        return Handle(self.__dict__.setdefault("_hooks", {}), hook)

    # ------------------------------------------------------------------------------------------------- what it holds

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """A Tensor (array, or None) that belongs to the module but is not learnt; persistent: it is in the state dict."""
        self._take_name(name)
        self.__dict__.setdefault("_buffers", {})[name] = persistent
        setattr(self, name, tensor if tensor is None or isinstance(tensor, Tensor) else Tensor(np.array(tensor)))

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """`self.name = parameter` for a name that is only known as a string."""
        self._take_name(name)
        setattr(self, name, parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """`self.name = module` for a name that is only known as a string."""
        self._take_name(name)
        setattr(self, name, module)

    def _take_name(self, name: str) -> None:
        if not name or "." in name or hasattr(type(self), name):
            raise KeyError(f"{name!r} cannot name a part of {type(self).__name__}: empty, with a dot, or the class's own")

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, each once, with their attribute names."""
        found = ((name, value) for name, value in vars(self).items() if isinstance(value, Module))
        return _each_once(found)

    def children(self) -> Iterator[Module]:
        """The modules directly inside."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Every module of the tree, each once, itself first, with dotted paths."""
        return _each_once(self._tree(prefix))

    def modules(self) -> Iterator[Module]:
        """Every module of the tree, each once, itself first."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Every parameter, each once (a shared one under its first name), with dotted paths."""
        return _each_once((name, p) for name, p, _ in self._entries(prefix, recurse) if isinstance(p, Parameter))

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter, each once."""
        return (parameter for _, parameter in self.named_parameters("", recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Every buffer, each once, with dotted paths."""
        return _each_once((name, b) for name, b, _ in self._entries(prefix, recurse) if not isinstance(b, Parameter))

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer, each once."""
        return (buffer for _, buffer in self.named_buffers("", recurse))

    def _tree(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield from value._tree(_join(prefix, name))

    def _entries(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor, bool]]:
        """(dotted path, parameter or buffer, whether it is in the state dict): own first, then each child's."""
        for path, module in self._tree(prefix) if recurse else [(prefix, self)]:
            own = {name: value for name, value in vars(module).items() if isinstance(value, Tensor)}
            for name, value in own.items():
                if isinstance(value, Parameter):
                    yield _join(path, name), value, True
            for name in module._buffers:
                if name in own:
                    yield _join(path, name), own[name], module._buffers[name]

    # -------------------------------------------------------------------------------------------------- what it does

    def apply(self, function: Callable[[Module], Any]) -> Any:
        """Calls function(module) on every module, the innermost first, and returns self."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def train(self, mode: bool = True) -> Any:
        """Training mode for every module (dropout drops, batch norm uses the batch), or evaluation mode; returns self."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Any:
        """Evaluation mode for every module; returns self."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Whether the parameters are to be learnt; returns self."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Forgets every parameter's gradient."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, dtype: Any) -> Any:
        """Changes the element type of every parameter and floating-point buffer, in place; returns self."""
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise TypeError(f"a module computes in float32 or float64, got {np.dtype(dtype)}")
        for parameter in self.parameters():
            parameter.convert(dtype)
        for buffer in self.buffers():
            if buffer.dtype.kind == "f":
                buffer.data = buffer.data.astype(dtype)
        return self

    def float(self) -> Any:
        """to(float32)"""
        return self.to(np.float32)

    def double(self) -> Any:
        """to(float64)"""
        return self.to(np.float64)

    def state_dict(self, *, copy: bool = True) -> dict[str, np.ndarray]:
        """{dotted path: values} of every parameter and persistent buffer: copies, which later training does not change.

        copy=False gives the arrays themselves, to read at once.
        """
        return {name: tensor.data.copy() if copy else tensor.data for name, tensor, kept in self._entries() if kept}

    def load_state_dict(self, mapping: Mapping[str, Any], strict: bool = True) -> state.Unfit:
        """Takes values from {dotted path: array}; returns (missing_keys, unexpected_keys), both empty where all fits.

        strict: anything missing, unexpected or wrongly shaped raises one CheckpointError with a table of all of it, and
        nothing is loaded. Otherwise what fits is loaded; an entry of the wrong shape is both missing and unexpected.
        """
        own = {name: tensor for name, tensor, kept in self._entries() if kept}
        return state.load(type(self).__name__, own, mapping, strict)

    # ---------------------------------------------------------------------------------------------------- how it reads

    def extra_repr(self) -> str:
        """What stands in the brackets of the module's text."""
        return ""

    def __repr__(self) -> str:
        parts = [(name, repr(child)) for name, child in vars(self).items() if isinstance(child, Module)]
        runs = [[name for name, _ in run] for _, run in itertools.groupby(parts, key=lambda part: part[1])]
        texts = dict(parts)
        lines = [
            f"({run[0]}): {texts[run[0]]}" if len(run) == 1 else f"({run[0]}-{run[-1]}): {len(run)} x {texts[run[0]]}"
            for run in runs
        ]
        inside = "\n".join(filter(None, [self.extra_repr(), *lines]))
        return f"{type(self).__name__}(\n{textwrap.indent(inside, '  ')}\n)" if lines else f"{type(self).__name__}({inside})"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _each_once(pairs: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The pairs whose value has not come before."""
    seen: set[int] = set()
    for name, value in pairs:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value
