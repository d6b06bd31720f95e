"""The models by name. A model file registers a builder under each of its named configurations; that adds its tests."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ._features import FeatureMaps

_ENTRIES: dict[str, Entry] = {}
_ALIASES: dict[str, str] = {}


@dataclass(frozen=True)
class Entry:
    """A named model: how to build it from a configuration, and its published size.

    config: a frozen dataclass whose fields are what create_model may override; its `input_shape` is the shape of one
    input without the batch. macs: multiply-adds of matrix products and convolutions for one such input. Both counts are
    the reference's, and None for a configuration that nobody published.
    """

    name: str
    build: Callable[[Any], Any]
    config: Any
    params: int | None = None
    macs: int | None = None


def register(
    name: str, config: Any, *, params: int | None = None, macs: int | None = None, alias: str = ""
) -> Callable[..., Any]:
    """Decorates a builder: `create_model(name)` (or of the alias) will call it with the configuration."""

    def registered(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
        for taken in filter(None, (name, alias)):
            if taken in _ENTRIES or taken in _ALIASES:
                raise ValueError(f"model {taken!r} is registered twice")
        _ENTRIES[name] = Entry(name, build, config, params, macs)
        _ALIASES.update({alias: name} if alias else {})
        return build

    return registered


def create_model(name: str, *, features_only: bool = False, out_indices: Iterable[int] | None = None, **overrides: Any) -> Any:
    """A fresh model by name, its configuration changed where `overrides` say so: create_model("vit_digits", depth=2).

    features_only: not the classification, but the list of the model's maps, or of those that out_indices choose
    (_features.FeatureMaps). ValueError for an unknown name, TypeError for an unknown override; both name what is close.
    """
    if out_indices is not None and not features_only:
        raise TypeError("out_indices chooses maps: it goes with features_only=True")
    found = entry(name)
    accepted = [field.name for field in fields(found.config)]
    for unknown in overrides.keys() - set(accepted):
        raise TypeError(f"{name} has no option {unknown!r}{_close(unknown, accepted)}; it takes {', '.join(accepted)}")
    model = found.build(replace(found.config, **overrides))
    return FeatureMaps(model, out_indices) if features_only else model


def list_models(pattern: str = "*") -> list[str]:
    """The names that match a shell pattern ("deit_*"), sorted."""
    return sorted(fnmatch.filter(_load(), pattern))


def entry(name: str) -> Entry:
    """The registered model of that name or alias; ValueError with the closest names for an unknown one."""
    entries = _load()
    found = entries.get(_ALIASES.get(name, name))
    if found is None:
        raise ValueError(
            f"there is no model {name!r}{_close(name, [*entries, *_ALIASES])}; list_models() shows all {len(entries)}"
        )
    return found


def _close(word: str, known: Sequence[str]) -> str:
    """` (did you mean a or b?)`, or nothing where nothing is close; what begins with the word comes first."""
    begun = sorted((each for each in known if word and each.startswith(word)), key=len)
    near = list(dict.fromkeys([*begun, *difflib.get_close_matches(word, known, n=3, cutoff=0.5)]))[:3]
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _load() -> dict[str, Entry]:
    """Every entry, after importing the model files (once: Python remembers)."""
    for module in _model_files():
        importlib.import_module(f"{__package__}.{module}")
    return _ENTRIES


def _model_files() -> Iterable[str]:
    """The names of the modules beside this one that are papers."""
    package = importlib.import_module(str(__package__))
    return (module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))
