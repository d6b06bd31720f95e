"""Dynamic Shift-Max: the activation of MicroNet.

Li, Chen, Dai, Chen, Liu, Yuan, Liu, Zhang, Vasconcelos. ICCV 2021, arXiv 2108.05894, section 4.

Between groups of channels that never met, an activation can do what a layer would cost: each channel is mixed with one of the
next group, by weights that depend on the picture, and the larger of two mixtures stays.

Deviations: as in the authors' code (github.com/liyunsheng13/micronet), whose names and keys these are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from .. import nn

SPAN = 2.0  # coefficients move by so much to either side of where they begin


class ShiftMax(nn.Module):
    """Section 4: y_i = max_k (a_ik x_i + b_ik x_j(i)), a and b from the picture, j(i) the next channel of the next group.

    groups: of the channels; pieces: how many k, where of one there is no maximum; start: a_k, b_k before anything is learned.
    (B, C, H, W) -> (B, C, H, W)
    """

    def __init__(self, channels: int, groups: int, reduction: int, start: tuple[tuple[float, float], ...]) -> None:
        super().__init__()
        inner = divisible(channels // reduction)
        self.fc = nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, 2 * len(start) * channels))
        self.start, self.index = start, partners(channels, groups)

    def coefficients(self, x: Any) -> Any:
        """What is added to `start`, in [-2, 2].  (B, C, H, W) -> (B, 2 K, C, 1, 1), as a_1, b_1, a_2, b_2"""
        found = 2.0 * SPAN * (F.hardsigmoid(self.fc(x.mean((2, 3)))) - 0.5)  # (B, 2 K C)
        return found.reshape(len(x), 2 * len(self.start), x.shape[1], 1, 1)  # (B, 2 K, C, 1, 1)

    def forward(self, x: Any) -> Any:
        """Each piece is linear in x where the coefficients are held."""
        found, other = self.coefficients(x), x[:, self.index]  # (B, C, H, W)
        pieces = [(found[:, 2 * k] + a) * x + (found[:, 2 * k + 1] + b) * other for k, (a, b) in enumerate(self.start)]
        return np.maximum(*pieces) if len(pieces) == 2 else pieces[0]


def partners(channels: int, groups: int) -> np.ndarray:
    """j(i): one group on, and one channel on inside it, both in a circle."""
    grid = np.arange(channels).reshape(groups, channels // groups)  # (G, C / G)
    return np.roll(grid, (-1, -1), (0, 1)).reshape(channels)  # (C,)


def divisible(n: int, by: int = 4) -> int:
    """The multiple of `by` nearest to n, at least one and no less than 0.9 n."""
    found = max(by, (n + by // 2) // by * by)
    return found + by if found < 0.9 * n else found
