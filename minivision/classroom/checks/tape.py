"""The tape: broadcasting, a quotient, the order of the walk, and the walk itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ops.elementwise import _divide
from ...tape import Tensor
from ..expect import expect, expect_error, expect_parts
from ..proxy import Student
from .gradients import pulled


def unbroadcast(student: Student, rng: np.random.Generator) -> None:
    """<unbroadcast(dy), a> = <dy, a broadcast> for every unit vector a; whole numbers, so that every order of sums is exact."""
    shapes = [
        ((3, 4), (3, 4)),
        ((3, 4), (4,)),
        ((3, 4), (3, 1)),
        ((3, 4), (1, 4)),
        ((2, 3, 4), (3, 1)),
        ((2, 3), ()),
        ((2, 1), (1,)),
    ]
    for dtype in (np.float64, np.float32):
        for whole, shape in [*shapes, ((2, 3, 4), (1, 3, 1)), ((0, 3), (3,)), ((3, 0), (3, 1))]:
            dy = rng.integers(-9, 10, whole).astype(dtype)
            units = np.eye(int(np.prod(shape)), dtype=dtype).reshape(-1, *shape)
            sums = np.array([np.sum(dy * np.broadcast_to(unit, whole)) for unit in units], dtype).reshape(shape)
            expect(student(dy, shape), sums, f"dy of shape {whole} for an array of shape {shape}", tolerance=0)


def quotient_gradient(student: Student, rng: np.random.Generator) -> None:
    """da and db are J^T dy by complex step, with broadcasting; what `needs` does not ask for may be None."""
    for first, second in [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1), (1, 3)), ((), (2, 3))]:
        a, b = np.asarray(rng.standard_normal(first)), np.asarray(rng.uniform(0.5, 2.0, second) * rng.choice([-1.0, 1.0], second))
        y, kept = _divide(a, b)
        dy = rng.standard_normal(np.shape(y))
        da, db = pulled(_divide, [a, b], dy)
        label = f"for a of shape {first} and b of shape {second}"
        for needs in [(True, True), (True, False), (False, True)]:
            got = expect_parts(student(dy, kept, needs=needs), "da db")
            for name, one, other, need in zip(("da", "db"), got, (da, db), needs, strict=True):
                if need:
                    expect(one, other, f"{name} {label}")


def order_of_the_walk(student: Student, rng: np.random.Generator) -> None:
    """Everything behind the outputs, each node once, newest first; also for 5,000 nodes in a row, and not for freed ones."""
    diamond: list[list[int]] = [[], [0], [0], [1, 2], [3, 1], []]  # the parents of each node, in order of creation
    for outputs, expected in [([4], [4, 3, 2, 1, 0]), ([3, 5], [5, 3, 2, 1, 0]), ([2], [2, 0]), ([], [])]:
        got = student.drive("tape:history", diamond, outputs)
        expect(got, expected, f"the nodes behind {outputs}, where the parents are {diamond}")
    for _ in range(5):
        parents = [sorted(set(map(int, rng.integers(0, max(i, 1), 2)))) if i else [] for i in range(30)]
        expect(student.drive("tape:history", parents, [29, 20]), _behind(parents, [29, 20]), "the nodes behind two of thirty")
    chain = [[i - 1] if i else [] for i in range(5000)]
    expect(student.drive("tape:history", chain, [4999]), list(range(4999, -1, -1)), "a chain of 5,000 nodes")
    expect_error(
        lambda: student.drive("tape:history", diamond, [4], [1]), Exception, "a graph in which a node was freed", "freed"
    )


def _behind(parents: Sequence[Sequence[int]], outputs: Sequence[int]) -> list[int]:
    """The same by brute force: add parents until nothing changes."""
    found: set[int] = set(outputs)
    while (more := found | {p for i in found for p in parents[i]}) != found:
        found = more
    return sorted(found, reverse=True)


def the_walk(student: Student, rng: np.random.Generator) -> None:
    """Gradients of expressions that use values once, twice, and in two outputs; wanted ones alone; freed afterwards, or kept."""
    a, b = rng.uniform(0.5, 1.5, (2, 3))
    wanted = {
        "y = a b": (b, a),
        "y = a a + a b": (2 * a + b, a),
        "y = s + s s, s = a b": (b * (1 + 2 * a * b), a * (1 + 2 * a * b)),
        "y = (a b) b + a": (b * b + 1, 2 * a * b),
    }
    for expression, (da, db) in wanted.items():
        expect(student.drive("tape:gradients", expression, a, b), [Tensor(da), Tensor(db)], f"da, db of {expression}")
        expect(
            student.drive("tape:gradients", expression, a, b, ["b"]),
            [Tensor(db)],
            f"mv.grad with respect to b alone, of {expression}",
        )
    expect(
        student.drive("tape:two_outputs", a, b),
        [Tensor(a + b), Tensor(a)],
        "da, db of the outputs y = a b and z = a a / 2 together",
    )
    expect(student.drive("tape:second", a), Tensor(6 * a), "the second derivative of a^3, by create_graph=True")
    expect(
        student.drive("tape:twice", a, b, True),
        [Tensor(2 * b), Tensor(2 * a)],
        "da, db after backward() twice with retain_graph=True",
    )
    expect_error(lambda: student.drive("tape:twice", a, b, False), Exception, "backward() twice without retain_graph", "freed")
