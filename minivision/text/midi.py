"""Music as numbers: a performance on a keyboard is a text of 388 words.

Huang et al. 2019, "Music Transformer" (arXiv 1809.04281), after Oore et al. 2018 (arXiv 1808.03715): a key goes down or up, so
much time passes, keys go down so hard from now on. Numbers follow that order: 128 note_on and 128 note_off, by pitch; 100
time_shift, of 1 to 100 steps of 10 ms; 32 velocity, each of four of MIDI's 1 to 127.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

STEP = 0.01  # seconds
KINDS = {"note_on": range(128), "note_off": range(128), "time_shift": range(1, 101), "velocity": range(1, 33)}  # their values
STARTS = dict(zip(KINDS, (0, 128, 256, 356), strict=True))  # each kind's first number
EVENTS = 388


class Event(NamedTuple):
    """kind: one of KINDS; value: a pitch, a number of steps, or the number of a velocity's bin."""

    kind: str
    value: int


class Note(NamedTuple):
    """start and end in seconds; pitch 0 to 127; velocity 1 to 127."""

    start: float
    end: float
    pitch: int
    velocity: int


def encode(events: Iterable[tuple[str, int]]) -> np.ndarray:
    """Events -> their numbers, 0 to 387; ValueError for what is none."""
    numbers = []
    for kind, value in events:
        if kind not in KINDS or value not in KINDS[kind]:
            kinds = ", ".join(f"{name} {each[0]} to {each[-1]}" for name, each in KINDS.items())
            raise ValueError(f"({kind!r}, {value}) is no event; there are {kinds}")
        numbers.append(STARTS[kind] + KINDS[kind].index(value))
    return np.array(numbers, np.int64)


def decode(numbers: Any) -> list[Event]:
    """Numbers 0 to 387 -> their events; ValueError for others."""
    events = [Event(kind, value) for kind, values in KINDS.items() for value in values]
    flat = np.asarray(numbers).reshape(-1).tolist()
    if wrong := [number for number in flat if not 0 <= number < EVENTS]:
        raise ValueError(f"events have the numbers 0 to {EVENTS - 1}, got {wrong[0]}")
    return [events[number] for number in flat]


def to_events(notes: Iterable[tuple[float, float, int, int]]) -> list[Event]:
    """Notes (start, end, pitch, velocity) -> events, in time; of one moment first those keys that go up.

    Times are rounded to steps, of which a note takes one at least. A velocity is told where it changes.
    """
    moves = []  # (step, whether down, pitch, bin of the velocity)
    for start, end, pitch, velocity in notes:
        if not 1 <= velocity <= 127:
            raise ValueError(f"a note's velocity is from 1 to 127, got {velocity}")
        first = round(start / STEP)
        moves += [(first, True, pitch, 1 + (velocity - 1) // 4), (max(first + 1, round(end / STEP)), False, pitch, 0)]
    events, now, loud = [], 0, 0
    for step, down, pitch, bin_ in sorted(moves):
        wait, now = step - now, step
        events += [Event("time_shift", 100)] * (wait // 100) + [Event("time_shift", wait % 100)] * (wait % 100 > 0)
        if down and bin_ != loud:
            events, loud = [*events, Event("velocity", bin_)], bin_
        events.append(Event("note_on" if down else "note_off", pitch))
    return events


def to_notes(events: Iterable[tuple[str, int]]) -> list[Note]:
    """Events -> notes, by their starts; any sequence is played.

    Velocity is the least of its bin, and 65 where none was told. A key that goes down again ends the note before; one that goes
    up without having been down is nothing; those that are down at the end go up there.
    """
    down: dict[int, tuple[int, int]] = {}  # pitch -> (step, velocity)
    notes, now, loud = [], 0, 65
    for kind, value in [*events, *(("note_off", pitch) for pitch in range(128))]:
        if kind == "time_shift":
            now += value
        elif kind == "velocity":
            loud = 1 + 4 * (value - 1)
        elif value in down:
            start, velocity = down.pop(value)
            notes.append(Note(start * STEP, now * STEP, value, velocity))
        if kind == "note_on":
            down[value] = now, loud
    return sorted(notes)
