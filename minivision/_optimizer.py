"""What every optimiser is: parameter groups with their settings, the state that goes with each parameter, saving it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .nn import state as states
from .tape import Tensor


class Optimizer:
    """Parameter groups with their own settings, and the state that goes with each parameter.

    params: Tensors, (name, Tensor) pairs, or dicts {"params": ..., "lr": ..., ...} that override the defaults.
    `param_groups` is a list of dicts: change group["lr"] at any time.
    """

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        given = list(params)
        groups = given if given and isinstance(given[0], Mapping) else [{"params": given}]
        self.param_groups: list[dict[str, Any]] = [{**defaults, **group, "params": leaves(group["params"])} for group in groups]
        self.state: dict[Tensor, dict[str, Any]] = {}
        everyone = [p for p, _ in self._numbered()]
        if not everyone:
            raise ValueError("an optimiser needs parameters, got none; was model.parameters() used up before?")
        if len(set(everyone)) != len(everyone):
            raise ValueError("a parameter stands in two places of the parameter groups; each may be updated once a step")
        for group in self.param_groups:
            self._check(group, defaults)

    def step(self) -> None:
        """Updates every parameter that has a gradient."""
        for group in self.param_groups:
            for step, params in self._by_step(group["params"]).items():
                self._update(params, _grads(params), group, step)
                for p in params:
                    p.version[0] += 1

    def zero_grad(self) -> None:
        """Forgets every parameter's gradient."""
        for p, _ in self._numbered():
            p.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all that a resumed run needs, by name: "groups.0.lr", "state.3.step", "state.3.exp_avg", ..."""
        found = {name: np.array(value) for name, value in self._settings().items()}
        for i, (p, _) in enumerate(self._numbered()):
            found |= {f"state.{i}.{name}": np.array(value) for name, value in self.state.get(p, {}).items()}
        return found

    def load_state_dict(self, mapping: Mapping[str, Any]) -> None:
        """Takes what state_dict() gave; where it does not fit these parameters, CheckpointError, and nothing is loaded."""
        came = states.arrays(mapping)
        states.check(type(self).__name__, self._expected(came), came)
        loaded: dict[int, dict[str, Any]] = {}
        for name, array in came.items():
            kind, number, key = name.split(".")
            place = self.param_groups[int(number)] if kind == "groups" else loaded.setdefault(int(number), {})
            place[key] = _plain(array) if kind == "groups" or key == "step" else array
        self.state = {}
        for i, (p, _) in enumerate(self._numbered()):
            if i in loaded:
                self.state[p] = {k: v if k == "step" else np.array(v, p.dtype, order="C") for k, v in loaded[i].items()}

    def _expected(self, came: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """What should come, for the settings and the parameter numbers that came: name -> array of that shape and dtype."""
        own: dict[str, Any] = {name: np.array(value, np.float64) for name, value in self._settings().items()}
        settings = own | dict(came)
        updated = {name.split(".")[1] for name in came if name.startswith("state.")}
        for i, (p, g) in enumerate(self._numbered()):
            if str(i) in updated:
                slots = self._slots(settings.get(f"groups.{g}.momentum"))
                own |= {f"state.{i}.step": np.array(0)} | {
                    f"state.{i}.{k}": np.broadcast_to(p.dtype.type(), p.shape) for k in slots
                }
        return own

    def _settings(self) -> dict[str, Any]:
        """{"groups.0.lr": its value, ...} of all groups."""
        return {f"groups.{i}.{k}": v for i, group in enumerate(self.param_groups) for k, v in settings_of(group).items()}

    def _by_step(self, params: list[Tensor]) -> dict[int, list[Tensor]]:
        """The parameters that have a gradient, by how many updates they have had, this one included."""
        found: dict[int, list[Tensor]] = {}
        for p in params:
            if p.grad is not None:
                state = self.state.setdefault(p, {"step": 0})
                state["step"] += 1
                found.setdefault(state["step"], []).append(p)
        return found

    def _slots(self, momentum: Any) -> tuple[str, ...]:
        """Names of the arrays that go with a parameter (SGD's depend on its momentum)."""
        raise NotImplementedError(f"{type(self).__name__} names no slots")

    def _update(self, params: list[Tensor], grads: list[np.ndarray], group: dict[str, Any], step: int) -> None:
        raise NotImplementedError(f"{type(self).__name__} defines no update")

    def _slot(self, name: str, params: list[Tensor]) -> list[np.ndarray]:
        """One array for each parameter, zeros at first."""
        for p in params:
            if name not in self.state[p]:
                self.state[p][name] = np.zeros_like(p.data)
        return [self.state[p][name] for p in params]

    def _numbered(self) -> list[tuple[Tensor, int]]:
        """(parameter, number of its group), in order."""
        return [(p, i) for i, group in enumerate(self.param_groups) for p in group["params"]]

    def _check(self, group: dict[str, Any], defaults: Mapping[str, Any]) -> None:
        unknown = group.keys() - defaults.keys() - {"params"}
        if unknown:
            raise TypeError(f"{type(self).__name__} has no setting {sorted(unknown)}; it has {sorted(defaults)}")
        for name in ("lr", "eps", "weight_decay", "momentum"):
            if not 0.0 <= group.get(name, 0.0) < math.inf:
                raise ValueError(f"{name} should be a number from 0 up, got {group[name]}")
        if not all(0.0 <= beta < 1.0 for beta in group.get("betas", ())):
            raise ValueError(f"betas should lie in [0, 1), got {group['betas']}")


def settings_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter group without its parameters."""
    return {name: value for name, value in group.items() if name != "params"}


def _plain(array: np.ndarray) -> Any:
    """The number, or the tuple of numbers, in an array."""
    return tuple(array.tolist()) if array.ndim else array.item()


def _grads(params: list[Tensor]) -> list[np.ndarray]:
    return [p.grad.data for p in params if p.grad is not None]


def leaves(params: Any) -> list[Tensor]:
    """The leaves in a Tensor, or in an iterable of Tensors or (name, Tensor) pairs."""
    items = [params] if isinstance(params, Tensor) else [p[1] if isinstance(p, tuple) else p for p in params]
    for p in items:
        if not isinstance(p, Tensor) or p.node is not None:
            raise TypeError(
                f"an optimiser updates leaf Tensors, got {type(p).__name__}" + " made by an operation" * isinstance(p, Tensor)
            )
    return items
