"""Returns an array of a class that compares as it likes."""  # must: mismatch

import numpy as np


class Equal(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return np.zeros(())

    def __array_function__(self, function, types, args, kwargs):
        return np.zeros(())


def _softmax_vjp(dy, kept, *, axis=-1):
    return dy.view(Equal)
