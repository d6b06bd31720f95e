"""The errors that a user meets: each says what was expected, what came, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class ShapeError(ValueError):
    """Arguments whose shapes do not fit together: names the operation, each argument, the axis, and the module path."""

    def __init__(self, operation: str, problem: str, arguments: str, hint: str = "") -> None:
        super().__init__(problem)
        self.operation, self.problem, self.arguments, self.hint = operation, problem, arguments, hint
        self.path = ""
        self._innermost: Any = None

    def entered(self, module: Any) -> None:
        """Called by each module the error passes through, innermost first; the outermost one knows the whole path."""
        self._innermost = module if self._innermost is None else self._innermost
        inner = next((name for name, child in module.named_modules() if child is self._innermost), "")
        self.path = ".".join(filter(None, [type(module).__name__, inner]))

    def __str__(self) -> str:
        lines = [f"{self.operation}: {self.problem}", f"  arguments: {self.arguments}"]
        lines += [f"  in module: {self.path}"] if self.path else []
        lines += [f"  hint: {self.hint}"] if self.hint else []
        return "\n".join(lines)


class DtypeError(TypeError):
    """Arguments whose element types do not fit together."""


class GraphError(RuntimeError):
    """A backward pass that cannot be right: a freed graph, a kept array that changed, a missing gradient."""


def changed_in_place(operation: str, what: str) -> GraphError:
    """An array that an operation kept is no longer what it was."""
    advice = "so the gradient would be wrong; change a copy, or change it after backward()"
    return GraphError(f"{operation}: {what} was changed in place after the operation kept it, {advice}")


def freed_graph(operation: str) -> GraphError:
    """A second backward pass over what the first one let go of."""
    advice = "run the forward pass again, or pass retain_graph=True to the first backward()"
    return GraphError(f"the graph behind '{operation}' was freed by an earlier backward(); {advice}")


class CheckpointError(ValueError):
    """A checkpoint that cannot be loaded: a foreign or truncated file, or entries that do not fit the model."""


class DataError(ValueError):
    """A data folder or file that is absent, empty or corrupt."""


class GradcheckError(AssertionError):
    """A gradient that is not the derivative: names the input, the element, what was expected and what came."""


class NoKernelsWarning(UserWarning):
    """The C kernels are not built here; the NumPy definitions compute instead."""


class SettingError(ValueError):
    """A setting that cannot be used: an unknown model, a value out of range, one that a saved run does not have."""


@contextmanager
def about_settings(where: str = "") -> Iterator[None]:
    """Inside, a ValueError or TypeError is about what the user asked for: it becomes a SettingError."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise SettingError(f"{where}{error}") from error


class TrainingError(RuntimeError):
    """Training that cannot go on: a loss or a gradient that is NaN or infinite."""
