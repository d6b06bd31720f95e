"""How values travel to a student's process and back: unharmed, and nothing but values."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import minivision as mv
from minivision.classroom import wire


def travelled(value):
    message = wire.pack(value)
    header, body = wire.LENGTHS.unpack(message[: wire.LENGTHS.size])
    rest = message[wire.LENGTHS.size :]
    assert len(rest) == header + body
    return wire.unpack(rest[:header], bytearray(rest[header:]))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -(2**70),
        1.5,
        float("inf"),
        "a\x00é",
        (),
        [1, (2, None)],
        {"a": 1, 2: (3,)},
        slice(1, None, 2),
        np.float32(0.1),
    ],
    ids=repr,
)
def test_plain_values_arrive_as_they_were(value):
    found = travelled(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("dtype", sorted(wire.DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (3, 4)])
def test_arrays_arrive_with_their_bits_and_can_be_written(dtype, shape):
    x = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    found = travelled((x, x))[1]
    assert (found.dtype, found.shape) == (x.dtype, x.shape)
    assert found.tobytes() == x.tobytes()
    found[...] = 1


def test_any_layout_arrives_in_rows():
    x = np.arange(24.0).reshape(2, 3, 4)
    for view in (x.T, x[:, ::-2], np.broadcast_to(x[:1], (5, 3, 4)), x.astype(">f8")):
        found = travelled(view)
        assert np.array_equal(found, view)
        assert found.flags.c_contiguous


def test_nan_and_signed_zero_keep_their_bits():
    x = np.array([np.nan, -0.0, np.inf, 5e-324])
    assert travelled(x).tobytes() == x.tobytes()


def test_a_tensor_arrives_without_its_graph():
    x = mv.tensor([1.0, 2.0], requires_grad=True)
    for y in (x, x * 2):
        found = travelled(y)
        assert found.requires_grad
        assert found.node is None
        assert np.array_equal(found.data, y.data)
    assert not travelled(x.detach()).requires_grad


@pytest.mark.parametrize(
    "value", [object(), lambda: 0, {1, 2}, iter(()), b"bytes", np.array(["a"]), np.array([None]), 1j, 1 << 2000]
)
def test_what_cannot_travel_is_named(value):
    with pytest.raises(wire.WireError, match="cannot be sent"):
        wire.pack(value)


def test_what_is_too_much_or_too_deep_is_refused():
    deep: list = []
    for _ in range(wire.DEEPEST + 1):
        deep = [deep]
    with pytest.raises(wire.WireError, match="nested"):
        wire.pack(deep)
    with pytest.raises(wire.WireError, match="too much"):
        wire.pack(np.broadcast_to(np.zeros(1), wire.MOST_BODY))
    with pytest.raises(wire.WireError, match="too much"):
        wire.sizes(*wire.LENGTHS.unpack(struct.pack(">IQ", 5, 1 << 62)))


BAD = [
    "", "{", "[1]", '{"list": 3}', '{"pickle": []}', '{"list": [[]]}', "{}", '{"dict": [[1]]}',
    '{"dict": [[{"list": []}, 1]]}', '{"slice": [1,2,3,4]}', '{"array": {"dtype": "<f8", "shape": [3], "at": 0}}',
    '{"array": {"dtype": "<f8", "shape": [-1], "at": 0}}', '{"array": {"dtype": "<f8", "shape": [1], "at": -8}}',
    '{"array": {"dtype": "|O", "shape": [1], "at": 0}}', '{"array": {"dtype": "<f8", "shape": [true], "at": 0}}',
    '{"array": {"dtype": "<f8", "shape": [0, 1e30], "at": 0}}',
    '{"array": {"dtype": "<f8", "shape": [0, 4611686018427387904, 4611686018427387904], "at": 0}}', '{"array": 5}',
    '{"tensor": {"dtype": "<f8"}}', "[" * 100_000, '{"list": [' * 1000, '{"list": [' * 40 + "]}" * 40,
]  # fmt: skip


@pytest.mark.parametrize("header", BAD, ids=lambda text: text[:40])
def test_bytes_that_are_no_message_are_refused(header):
    with pytest.raises(wire.WireError):
        wire.unpack(header.encode(), bytearray(16))


def test_no_changed_byte_of_a_message_does_more_than_change_it_or_be_refused():
    rng = np.random.default_rng(1)
    message = wire.pack({"result": (np.arange(6.0).reshape(2, 3), [1, None, "x"], mv.tensor([1.0]))})
    header, _ = wire.LENGTHS.unpack(message[: wire.LENGTHS.size])
    rest = message[wire.LENGTHS.size :]
    refused = 0
    for _ in range(2000):
        changed = bytearray(rest)
        changed[rng.integers(header)] = rng.integers(256)
        try:
            wire.unpack(bytes(changed[:header]), changed[header:])
        except wire.WireError:
            refused += 1
    assert 500 < refused < 2000
