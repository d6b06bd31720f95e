"""CTC: repeated labels, sequences of several lengths, no labels, no time, another blank, targets that do not fit."""

from __future__ import annotations

import numpy as np

from ...ops.ctc import _ctc_loss, _ctc_loss_vjp
from ..case import Case, Mutant


def _case(label, t, c, targets, times=None, counts=None, **attrs):
    """targets: one list of labels for each sequence, of any length; times: all of t unless given."""
    longest = max(map(len, targets))
    padded = np.array([[*labels, *[1] * (longest - len(labels))] for labels in targets], np.int64).reshape(len(targets), longest)
    lengths = np.array([len(labels) for labels in targets])
    moments = np.array([t] * len(targets) if times is None else times)

    def draw(rng):
        x = rng.standard_normal((t, len(targets), c))
        return x - np.log(np.sum(np.exp(x), axis=2, keepdims=True)), padded, moments, lengths

    return Case(label, draw, attrs)


CASES = {
    "ctc_loss": [
        _case("two labels", 3, 3, [[1, 2]]),
        _case("a label twice", 4, 3, [[2, 2]]),
        _case("no room to spare", 3, 3, [[1, 1]]),
        _case("several lengths", 4, 3, [[1, 2], [2], [1, 1]], times=[4, 2, 3]),
        _case("no labels", 3, 3, [[], [1]]),
        _case("no labels at all", 2, 3, [[], []]),
        _case("the last class is blank", 3, 3, [[0, 1], [1, 0]], blank=2),
        _case("no time", 2, 3, [[], [1]], times=[0, 2]),
        _case("one that does not fit", 3, 3, [[1, 1, 2], [2]], times=[3, 2], zero_infinity=True),
    ]
}


def _scaled(dy, kept, *, blank=0, zero_infinity=False):
    return _ctc_loss_vjp(dy / np.maximum(kept[3], 1), kept, blank=blank, zero_infinity=zero_infinity)


def _of_logits(dy, kept, *, blank=0, zero_infinity=False):
    return _ctc_loss_vjp(dy, kept, blank=blank, zero_infinity=zero_infinity)[0] + dy[:, None] * np.exp(kept[0]), None, None, None


def _all_the_time(dy, kept, *, blank=0, zero_infinity=False):
    x, targets, times, *rest = kept
    return _ctc_loss_vjp(dy, (x, targets, np.full_like(times, len(x)), *rest), blank=blank, zero_infinity=zero_infinity)


def _repeats_merged(x, targets, times, counts, *, blank=0, zero_infinity=False):
    y, kept = _ctc_loss(x, targets, times, counts, blank=blank, zero_infinity=zero_infinity)
    again = np.sum((targets[:, 1:] == targets[:, :-1]) & (np.arange(1, targets.shape[1]) < counts[:, None]), axis=1)
    return y - 0.5 * again * x[0, :, blank], kept


MUTANTS = {
    "ctc_loss": [
        Mutant("divided by the target's length", _scaled),
        Mutant("the gradient of the logits", _of_logits),
        Mutant("input lengths forgotten", _all_the_time),
        Mutant("a repeat costs something else", definition=_repeats_merged),
    ]
}
