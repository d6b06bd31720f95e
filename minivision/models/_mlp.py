"""The two layers on each token that end a Transformer's block: Vaswani et al. 2017, section 3.3, with a GELU."""

from __future__ import annotations

from typing import Any

from .. import nn


class Mlp(nn.Module):
    """y = W2 gelu(W1 x + b1) + b2, timm's names.  (*, dim) -> (*, dim)"""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Any) -> Any:
        """The GELU comes in the first layer's pass over memory."""
        return self.fc2(self.fc1(x, activation="gelu"))
