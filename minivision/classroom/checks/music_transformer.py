"""Relative attention and events of music: every pair's vector one by one, numbers by counting, times in whole steps."""

from __future__ import annotations

from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np

from ...tape import Tensor
from ..expect import expect, expect_error, expect_that
from ..proxy import Student


def past(got: Any, queries: int, keys: int) -> Any:
    """A Tensor (*, queries, keys) with zeros in the future of the queries, which are the last; anything else as it is."""
    if not isinstance(got, Tensor) or tuple(got.shape[-2:]) != (queries, keys):
        return got
    return Tensor(np.where(np.tri(queries, keys, keys - queries, dtype=bool), got.data, np.zeros((), got.dtype)))


def skew(student: Student, rng: np.random.Generator) -> None:
    """Entry by entry, up to the diagonal: for as many queries as keys and for fewer, one, leading axes, both element types."""
    for shape, dtype in [((3, 3), float), ((2, 5, 5), np.float32), ((2, 3, 2, 6), float), ((1, 4), float), ((1, 1), float)]:
        x = rng.standard_normal(shape).astype(dtype)
        L, N = shape[-2:]
        wanted = np.zeros_like(x)
        for i in range(L):
            for j in range(N - L + i + 1):
                wanted[..., i, j] = x[..., i, j + L - 1 - i]
        expect(past(student(Tensor(x)), L, N), Tensor(wanted), f"the skew of {shape} up to the diagonal, {x.dtype}")


def farthest(student: Student, rng: np.random.Generator) -> None:
    """Distance by distance: shorter than the table, as long, longer, with vectors of each head and shared."""
    for shape, clip, length in [((2, 4, 3), True, 2), ((2, 4, 3), True, 4), ((2, 4, 3), True, 7), ((3, 3), True, 5),
                                ((2, 2, 3), False, 5), ((4, 3), False, 3), ((1, 3), True, 1)]:  # fmt: skip
        table, count = rng.standard_normal(shape), shape[-2]
        zero = np.zeros_like(table[..., 0, :])
        rows = [table[..., count - 1 - d, :] if d < count else table[..., 0, :] if clip else zero for d in range(length)]
        label = f"the vectors of {length} distances, from a table {shape}, clip={clip}"
        expect(student.drive("music_transformer:attention", table, clip, length), Tensor(np.stack(rows[::-1], -2)), label)


def relative_logits(student: Student, rng: np.random.Generator) -> None:
    """Pair by pair, for queries that are all of the keys' events or the last of them, within the table and beyond."""
    for shape, L, keys in [((2, 6, 3), 4, 4), ((2, 3, 3), 5, 5), ((6, 3), 2, 5), ((2, 6, 3), 1, 1)]:
        table, q = rng.standard_normal(shape), rng.standard_normal((2, 2, L, 3))
        wanted = np.zeros((2, 2, L, keys))
        for head in range(2):
            for i in range(L):
                for j in range(keys - L + i + 1):
                    distance = keys - L + i - j
                    vector = np.broadcast_to(table, (2, *table.shape[-2:]))[head, max(shape[-2] - 1 - distance, 0)]
                    wanted[:, head, i, j] = q[:, head, i] @ vector
        got = student.drive("music_transformer:attention", table, True, Tensor(q), keys)
        label = f"S up to the diagonal, q {q.shape}, {keys} keys, a table {shape}"
        expect(past(got, L, keys), Tensor(wanted), label)


def encode(student: Student, rng: np.random.Generator) -> None:
    """The first and last of each kind, none at all, and what is no event."""
    known = {("note_on", 0): 0, ("note_on", 127): 127, ("note_off", 0): 128, ("note_off", 127): 255, ("time_shift", 1): 256,
             ("time_shift", 100): 355, ("velocity", 1): 356, ("velocity", 32): 387}  # fmt: skip
    events = [list(known)[i] for i in rng.permutation(len(known))]
    expect(student(events), np.array([known[event] for event in events], np.int64), f"the numbers of {events}")
    expect(student([]), np.zeros(0, np.int64), "the numbers of no events")
    for wrong in [("note_on", 128), ("note_off", -1), ("time_shift", 0), ("velocity", 33), ("pedal", 1)]:
        expect_error(partial(student, [("note_on", 60), wrong]), ValueError, f"events with {wrong}")


def played(student: Student, notes: list[tuple[float, float, int, int]], events: str, label: str) -> None:
    """Holds a student's events against a line of words such as "time_shift 5, note_on 60", in which they are shown, too."""
    for short, kind in (("on", "note_on"), ("off", "note_off"), ("shift", "time_shift"), ("loud", "velocity")):
        events = events.replace(f"{short} ", f"{kind} ")
    wanted = [(kind, int(value)) for kind, value in (each.split() for each in events.split(", ") if each)]
    got = student(notes)
    if isinstance(got, list) and all(isinstance(each, tuple) and len(each) == 2 for each in got):
        several = zip_longest((f"{kind} {value}" for kind, value in wanted), (f"{each[0]} {each[1]}" for each in got))
        for i, pair in enumerate(several):
            one, other = (each or "no more event" for each in pair)
            expect_that(one == other, f"{label}, number {i}, counted from 0,", one, other)
    expect(got, wanted, label)


def to_events(student: Student, rng: np.random.Generator) -> None:
    """Written out: one note, a chord, a repeated key, long waits, times between steps, velocities."""
    pitch = int(rng.integers(30, 90))
    one = [(0.5, 1.0, pitch, 64)]
    played(student, one, f"shift 50, loud 16, on {pitch}, shift 50, off {pitch}", f"the events of {one}")
    chord = [(0.0, 1.0, 64, 80), (0.0, 2.3, 60, 80)]
    played(student, chord, "loud 20, on 60, on 64, shift 100, off 64, shift 100, shift 30, off 60", f"the events of {chord}")
    again = [(0.0, 0.5, 60, 1), (0.5, 1.0, 60, 4), (1.0, 3.0, 62, 127)]
    told = "loud 1, on 60, shift 50, off 60, on 60, shift 50, off 60, loud 32, on 62, shift 100, shift 100, off 62"
    played(student, again, told, f"the events of {again}")
    short = [(1.004, 1.004, 50, 64), (1.006, 1.018, 52, 64)]
    told = "shift 100, loud 16, on 50, shift 1, off 50, on 52, shift 1, off 52"
    played(student, short, told, f"the events of {short}")
    beats = [(i * 0.253, (i + 1) * 0.253, 60, 64) for i in range(4)]
    told = "loud 16, on 60, shift 25, off 60, on 60, shift 26, off 60, on 60, shift 25, off 60, on 60, shift 25, off 60"
    played(student, beats, told, "the events of four beats of 0.253 s")
    played(student, [], "", "the events of no notes")
    for velocity in (0, 128):
        expect_error(partial(student, [(0.0, 1.0, 60, velocity)]), ValueError, f"a note of velocity {velocity}")
