"""Calls the library's own function, by every way that leads to it."""  # must: raised

import minivision
from minivision import functional
from minivision.ops import softmax


def _softmax_vjp(dy, kept, *, axis=-1):
    for module in (softmax, minivision, functional):
        function = getattr(module, "_softmax_vjp", None) or getattr(getattr(module, "softmax", None), "vjp", None)
        if function:
            return function(dy, kept, axis=axis)
