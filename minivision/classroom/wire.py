"""How values travel between a check and a student's process: a JSON header, then the bytes of the arrays.

A message is the length of the header (4 bytes) and of the rest (8 bytes), both big-endian, then both. Reading it runs no code
and makes nothing but None, numbers, strings, arrays of plain numbers, Tensors without a graph, and tuples, lists, dicts and
slices of these.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

from ..tape import Tensor

LENGTHS = struct.Struct(">IQ")
MOST_HEADER, MOST_BODY, DEEPEST, ALIGN = 1 << 23, 1 << 28, 32, 16  # bytes, bytes, levels, bytes
WORDS = "? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16"
DTYPES = {np.dtype(name).str: np.dtype(name) for name in WORDS.split()}


class WireError(ValueError):
    """A value that cannot travel, or bytes that are no message."""


def pack(value: Any) -> bytes:
    """A whole message; WireError names what cannot travel."""
    buffers: list[bytes] = []
    header = json.dumps(_encode(value, buffers, 0)).encode()
    sizes(len(header), body := sum(map(len, buffers)))
    return b"".join([LENGTHS.pack(len(header), body), header, *buffers])


def sizes(header: int, body: int) -> tuple[int, int]:
    """Both, if a message may be so long."""
    if header > MOST_HEADER or body > MOST_BODY:
        raise WireError(
            f"too much to send: {max(header, body):,} bytes; at most {MOST_BODY:,} in arrays, {MOST_HEADER:,} elsewhere"
        )
    return header, body


def unpack(header: bytes, body: bytearray) -> Any:
    """The value of a message; its arrays share the memory of `body`. WireError where it is not one that `pack` makes."""
    try:
        return _decode(json.loads(header), body, 0)
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, LookupError, RecursionError, OverflowError) as error:
        raise WireError(f"not a message: {type(error).__name__}: {error}"[:300]) from None


def _encode(value: Any, buffers: list[bytes], depth: int) -> Any:
    if depth > DEEPEST:
        raise WireError(f"nested deeper than {DEEPEST} levels")
    inner = depth + 1
    if isinstance(value, Tensor):
        return {"tensor": _array(value.data, buffers), "requires_grad": bool(value.requires_grad)}
    if isinstance(value, (np.ndarray, np.generic)):
        return {"scalar" if isinstance(value, np.generic) else "array": _array(np.asarray(value), buffers)}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (float, str)):
        return float(value) if isinstance(value, float) else str(value)
    if isinstance(value, int) and value.bit_length() <= 1024:
        return int(value)
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [_encode(each, buffers, inner) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[_encode(k, buffers, inner), _encode(v, buffers, inner)] for k, v in value.items()]}
    if isinstance(value, slice):
        return {"slice": [_encode(each, buffers, inner) for each in (value.start, value.stop, value.step)]}
    raise WireError(
        f"a {type(value).__name__} cannot be sent: only None, numbers, strings, arrays, Tensors, and collections of them"
    )


def _array(x: np.ndarray, buffers: list[bytes]) -> dict[str, Any]:
    """Its type, shape and place; the bytes, row after row, go to the buffers."""
    word = x.dtype.newbyteorder("=").str if x.dtype.kind in "biufc" else ""
    if word not in DTYPES:
        raise WireError(f"an array of {x.dtype} cannot be sent: only of truth values and plain numbers")
    sizes(0, x.nbytes)
    place = sum(map(len, buffers))
    data = np.ascontiguousarray(x, DTYPES[word]).tobytes()
    buffers.append(data + b"\0" * (-len(data) % ALIGN))
    return {"dtype": word, "shape": list(x.shape), "at": place}


def _decode(node: Any, body: bytearray, depth: int) -> Any:
    if depth > DEEPEST:
        raise WireError(f"nested deeper than {DEEPEST} levels")
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    if not isinstance(node, dict):
        raise WireError("not a message")
    if "tensor" in node:
        x = _taken(node["tensor"], body)
        return Tensor(x, requires_grad=node["requires_grad"] is True and x.dtype.kind == "f")
    kind, inside = next(iter(node.items()), ("", ()))
    if kind in ("array", "scalar"):
        return _taken(inside, body)[() if kind == "scalar" else ...]
    if kind == "dict":
        return {_decode(k, body, depth + 1): _decode(v, body, depth + 1) for k, v in inside}
    each = [_decode(one, body, depth + 1) for one in inside]
    return {"list": each, "tuple": tuple(each)}[kind] if kind != "slice" else slice(*each)


def _taken(node: Any, body: bytearray) -> np.ndarray:
    """The array that lies in the body at its place."""
    shape, place = node["shape"], node["at"]
    if not all(type(n) is int and n >= 0 for n in [*shape, place]) or len(shape) > 32:
        raise WireError("not a message: a shape")
    count, dtype = math.prod(shape), DTYPES[node["dtype"]]
    if place + count * dtype.itemsize > len(body):
        raise WireError("not a message: an array that is longer than its bytes")
    return np.frombuffer(body, dtype, count, place).reshape(shape) if count else np.empty(shape, dtype)
