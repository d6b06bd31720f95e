"""Every recorded mutant, a wrong version of an operation, is rejected by a check of first order."""

from __future__ import annotations

import numpy as np
import pytest

from minivision.op import OPS
from minivision.proof.case import Mutant
from minivision.proof.cases import CASES, MUTANTS
from minivision.proof.checks import first_order_holds, killed, mutated
from minivision.proof.jacobian import closed_form, generator

ALL = [
    pytest.param(OPS[name], mutant, id=f"{name}: {mutant.fault}")
    for name, mutants in MUTANTS.items()
    if name in OPS
    for mutant in mutants
]


@pytest.mark.parametrize(("op", "mutant"), ALL)
def test_a_mutant_is_rejected(op, mutant):
    assert (mutant.vjp is None) != (mutant.definition is None), "one of the pair is wrong, not both and not none"
    assert killed(op, mutant, CASES[op.name])


@pytest.mark.parametrize("name", OPS)
def test_the_operation_itself_is_not(name):
    assert MUTANTS[name]
    assert not killed(OPS[name], Mutant("none", OPS[name].vjp, OPS[name].definition), CASES[name])


def test_a_sum_as_the_loss_would_miss_what_the_jacobian_shows():
    """The trap: with dy = 1 everywhere a permutation of dy is no permutation at all."""
    op, case = OPS["permute"], CASES["permute"][0]
    wrong = mutated(op, next(m for m in MUTANTS["permute"] if "inverse" in m.fault))
    args = case.arguments(generator(op, case))
    ones = np.ones(args[0].shape)
    summed = closed_form(op, args, case.attrs).sum(axis=0)
    np.testing.assert_array_equal(summed, ones.ravel())  # the gradient of the sum knows nothing of the order of axes
    assert not first_order_holds(wrong, case)
