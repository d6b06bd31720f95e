"""Places: number by number, by complex numbers, and in front of a Transformer."""

from __future__ import annotations

import cmath
import math

import numpy as np

from ...tape import Tensor
from ..drivers.transformer import small
from ..expect import expect, expect_that
from ..proxy import Student
from .transformer import filled


def hands(student: Student, rng: np.random.Generator) -> None:
    """Each number alone; a width of 2, no place at all, and places that begin elsewhere, also below 0."""
    for length, width, start in [(4, 6, 0), (1, 2, 0), (5, 8, 3), (3, 4, -7), (0, 4, 0)]:
        wanted = np.zeros((length, width))
        for p, c in np.ndindex(length, width):
            wanted[p, c] = (math.cos if c % 2 else math.sin)((start + p) / 10000 ** ((c - c % 2) / width))
        expect(student(length, width, start), wanted, f"{length} places from {start}, {width} wide")
    expect(np.shape(student(3, 4)), (3, 4), "the shape of 3 places, 4 wide, without a start")


def turns(student: Student, rng: np.random.Generator) -> None:
    """What it does to places as complex numbers, and every number of it; forwards, backwards, by none."""
    for k, width in [(1, 2), (3, 6), (-5, 8), (0, 4), (100, 4)]:
        got, wanted = student(k, width), np.zeros((width, width))
        for i in range(0, width, 2):
            hand = cmath.exp(1j * k / 10000 ** (i / width))
            wanted[i : i + 2, i : i + 2] = [[hand.real, hand.imag], [-hand.imag, hand.real]]
        expect(np.shape(got), (width, width), f"the shape of R_{k}, {width} wide")
        p = int(rng.integers(50))
        here, there = ([part(q / 10000 ** (i / width)) for i in range(0, width, 2) for part in (math.sin, math.cos)]
                       for q in (p, p + k))  # fmt: skip
        found = np.asarray(got) @ here
        brought = np.abs(found - there).max() < 1e-9
        expect_that(brought, f"R_{k} PE({p}), {width} wide", f"PE({p + k}) = {np.round(there, 4)}", f"{np.round(found, 4)}")
        expect(got, wanted, f"R_{k}, {width} wide")


def embedded(student: Student, rng: np.random.Generator) -> None:
    """Token by token, for one sentence and several."""
    for batch, length in [(2, 5), (1, 1), (3, 2)]:
        w, tokens = filled(small(), rng), rng.integers(6, size=(batch, length))
        wanted = np.zeros((batch, length, 8))
        for b, p, c in np.ndindex(wanted.shape):
            angle = p / 10000 ** ((c - c % 2) / 8)
            wanted[b, p, c] = math.sqrt(8) * w["embedding.weight"][tokens[b, p], c] + (math.cos if c % 2 else math.sin)(angle)
        got = student.drive("transformer:model", w, tokens)
        expect(got, Tensor(wanted), f"what is read of tokens ({batch}, {length}), 8 wide")
