"""NaN is not larger than any tolerance, and neither is anything compared with infinity."""  # must: mismatch

import numpy as np


def _softmax_vjp(dy, kept, *, axis=-1):
    return np.where(np.arange(dy.size).reshape(dy.shape) % 2, np.nan, np.inf).astype(dy.dtype)
