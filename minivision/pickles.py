"""Pickles as PyTorch's checkpoints have them, read without running anything in them.

A pickle is a program for a small stack machine that builds dictionaries and asks for functions by name. Here that program is
read, not run: of all it may ask for, only the few names that describe a tensor mean anything, and every other one becomes a
placeholder that does nothing.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

STORAGES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": "bf16", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
TENSOR, PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"


@dataclass(frozen=True)
class Named:
    """A function or class that the pickle asks for: only its name."""

    name: str


class Placeholder:
    """Whatever a call that means nothing here would have made."""


@dataclass(frozen=True)
class Storage:
    """A run of numbers: type, key, how many."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class View:
    """A tensor as the pickle describes it: a part of a storage, sizes and strides in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def run(pickle: bytes | BinaryIO) -> Any:
    """What one pickle describes: numbers, text, tuples, lists, dicts, Views; Placeholders for all else."""
    machine = Machine()
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name == "STOP":
            return machine.stack.pop()
        machine.step(opcode.name, argument)
    raise EOFError("the pickle has no end")


class Machine:
    """The stack, the marks on it, and the memory of a pickle's program. Python's pickletools explains the instructions."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """One instruction."""
        if name in PUSHED:
            self.stack.append(PUSHED[name](argument))
        elif name in MADE:
            count, make = MADE[name]
            parts = [self.stack.pop() for _ in range(count)][::-1]
            self.stack.append(make(*parts))
        elif name in GATHERED:
            parts = self.gather()
            target = self.stack.pop() if name in ("SETITEMS", "APPENDS") else None
            self.stack.append(GATHERED[name](target, parts))
        elif name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            self.memory[len(self.memory) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memory[argument])
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name == "POP":
            self.stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"its pickle uses {name}, which no checkpoint needs")

    def gather(self) -> list[Any]:
        """What stands above the last mark."""
        at = self.marks.pop()
        parts, self.stack[at:] = self.stack[at:], []
        return parts


def call(function: Any, arguments: tuple[Any, ...]) -> Any:
    """The few calls that describe something; everything else is a Placeholder."""
    name = function.name if isinstance(function, Named) else ""
    if name == TENSOR:
        storage, offset, shape, strides, *_ = arguments
        if not isinstance(storage, Storage):
            raise ValueError("a tensor without a storage")
        return View(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))
    if name == PARAMETER:
        return arguments[0]
    if name == "collections OrderedDict":
        return dict(*arguments)
    return Placeholder()


def storage(described: Any) -> Storage:
    """("storage", its class, key, device, count, ...) -> Storage."""
    _, kind, key, _, count, *_ = described
    name = kind.name.rpartition(" ")[2]
    if name not in STORAGES:
        raise ValueError(f"numbers of type {name}, which are not read; save the checkpoint in float32")
    return Storage(name, str(key), int(count))


def fill(target: Any, parts: list[Any]) -> Any:
    """Keys and values, in turn, into a dict; a Placeholder takes nothing."""
    if isinstance(target, dict):
        target.update((key, value) for key, value in zip(parts[::2], parts[1::2], strict=True) if isinstance(key, (str, int)))
    return target


def extend(target: Any, parts: list[Any]) -> Any:
    """More elements for a list."""
    if isinstance(target, list):
        target.extend(parts)
    return target


# instruction: what it pushes, of its argument
PUSHED: dict[str, Callable[[Any], Any]] = {
    "EMPTY_DICT": lambda _: {}, "EMPTY_LIST": lambda _: [], "EMPTY_TUPLE": lambda _: (), "EMPTY_SET": lambda _: Placeholder(),
    "NONE": lambda _: None, "NEWTRUE": lambda _: True, "NEWFALSE": lambda _: False,
    "GLOBAL": Named,
} | {
    name: lambda argument: argument
    for name in (
        "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4",
        "BINFLOAT", "BINBYTES", "SHORT_BINBYTES", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "STRING", "FLOAT",
    )
}  # fmt: skip

# instruction: how many it takes from the stack, and what it makes of them
MADE: dict[str, tuple[int, Callable[..., Any]]] = {
    "TUPLE1": (1, lambda a: (a,)),
    "TUPLE2": (2, lambda a, b: (a, b)),
    "TUPLE3": (3, lambda a, b, c: (a, b, c)),
    "REDUCE": (2, call),
    "NEWOBJ": (2, call),
    "BUILD": (2, lambda made, state: made),  # attributes, such as a state dict's versions
    "SETITEM": (3, lambda target, key, value: fill(target, [key, value])),
    "APPEND": (2, lambda target, value: extend(target, [value])),
    "BINPERSID": (1, storage),
    "STACK_GLOBAL": (2, lambda module, name: Named(f"{module} {name}")),
}

# instruction: what it makes of a target and all that stands above the last mark
GATHERED: dict[str, Callable[[Any, list[Any]], Any]] = {
    "TUPLE": lambda _, parts: tuple(parts),
    "LIST": lambda _, parts: parts,
    "DICT": lambda _, parts: fill({}, parts),
    "SETITEMS": fill,
    "APPENDS": extend,
}
