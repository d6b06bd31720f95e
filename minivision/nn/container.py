"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .module import Module


class _Numbered(Module):
    """Modules under the names "0", "1", ..."""

    def __len__(self) -> int:
        return sum(isinstance(value, Module) for value in vars(self).values())

    def __iter__(self) -> Iterator[Any]:
        return (value for value in vars(self).values() if isinstance(value, Module))

    def __setitem__(self, index: int, module: Module) -> None:
        names = [name for name, value in vars(self).items() if isinstance(value, Module)]
        self._hold(names[index], module)

    def append(self, module: Module) -> Any:
        """Adds a module at the end; returns self."""
        self._hold(str(len(self)), module)
        return self

    def _hold(self, name: str, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__} holds Modules, got {type(module).__name__}")
        self.add_module(name, module)

    def extend(self, modules: Iterable[Module]) -> Any:
        """Adds modules at the end; returns self."""
        for module in modules:
            self.append(module)
        return self


class Sequential(_Numbered):
    """One module after another: Sequential(a, b)(x) = b(a(x)). Also takes one mapping from names to modules."""

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            self.extend(modules)

    def forward(self, x: Any) -> Any:
        """The last module's output."""
        for module in self:
            x = module(x)
        return x

    def __getitem__(self, index: Any) -> Any:
        modules = list(self)[index]
        return Sequential(*modules) if isinstance(index, slice) else modules


class ModuleList(_Numbered):
    """A list of modules that are registered; it is not called itself."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    def __getitem__(self, index: Any) -> Any:
        modules = list(self)[index]
        return ModuleList(modules) if isinstance(index, slice) else modules


class ModuleDict(Module):
    """A dictionary of modules that are registered; it is not called itself."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        for name, module in (modules or {}).items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __getitem__(self, name: str) -> Any:
        return dict(self.items())[name]

    def __contains__(self, name: str) -> bool:
        return name in self.keys()

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names, in order."""
        return [name for name, _ in self.items()]

    def values(self) -> list[Any]:
        """The modules, in order."""
        return [module for _, module in self.items()]

    def items(self) -> list[tuple[str, Any]]:
        """(name, module), in order."""
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Module)]
