"""Efficient softmax approximation for GPUs (adaptive softmax).

Grave, Joulin, Cissé, Grangier, Jégou. ICML 2017, arXiv 1609.04309. And for the table at the input: Baevski, Auli, "Adaptive input
representations for neural language modeling", ICLR 2019, arXiv 1809.10853.

Words are numbered from the most frequent on, and cut into stretches. A first softmax is over the frequent words and one more
entry for each stretch of rare ones, which has a softmax of its own: most words need the first alone. Rarer words may have shorter
vectors.

Names and keys are those of the PyTorch code of Transformer-XL. There the entry of stretch i = 1 ... K is the i-th of the first
softmax counted from its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import ShapeError
from ..ops.elementwise import raw


@dataclass(frozen=True)
class Clusters:
    """The stretches of a vocabulary: [0, c_1), [c_1, c_2), ..., [c_K, tokens), `cutoffs` being c_1 ... c_K; without any, all."""

    tokens: int
    cutoffs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        bounds = 0, *self.cutoffs, self.tokens
        if any(a >= b for a, b in pairwise(bounds)):
            raise ValueError(f"cutoffs must rise from above 0 to below the {self.tokens} tokens, got {self.cutoffs}")

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """(first, behind the last) token of each."""
        return list(zip((0, *self.cutoffs), (*self.cutoffs, self.tokens), strict=True))

    def places(self, tokens: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Where in tokens (M) those of each stretch are; and (M), where each token is in a row of these: what puts it back."""
        found = [np.flatnonzero((first <= tokens) & (tokens < end)) for first, end in self.stretches]
        if sum(map(len, found)) < tokens.size:
            low, high = tokens.min(), tokens.max()
            raise ShapeError("adaptive_softmax", f"tokens are from 0 to {self.tokens - 1}", f"tokens from {low} to {high}")
        return found, np.argsort(np.concatenate(found))


class Matrices(nn.Module):
    """A list of parameters under the names "0", "1", ..."""

    def __init__(self, shapes: list[tuple[int, int]], std: float = 0.01) -> None:
        super().__init__()
        for i, shape in enumerate(shapes):
            self.register_parameter(str(i), nn.Parameter(shape, nn.init.normal(std=std)))

    def __getitem__(self, i: int) -> Any:
        return getattr(self, str(i))

    def __setitem__(self, i: int, matrix: Any) -> None:
        setattr(self, str(i), matrix)


class AdaptiveEmbedding(nn.Module):
    """Baevski & Auli: the vector of a word of stretch i has width / div_val^i numbers, and a matrix brings it to the width.

    div_val 1: one table, and no matrices. The result is multiplied by sqrt(width).
    """

    def __init__(self, clusters: Clusters, width: int, div_val: int = 1) -> None:
        super().__init__()
        self.clusters, self.width, self.div_val = clusters, width, div_val
        sizes = [end - first for first, end in clusters.stretches] if div_val > 1 else [clusters.tokens]
        widths = [width // div_val**i for i in range(len(sizes))]
        self.emb_layers = nn.ModuleList([nn.Embedding(*each) for each in zip(sizes, widths, strict=True)])
        self.emb_projs = Matrices([(width, narrow) for narrow in widths] if div_val > 1 else [])
        for table in self.emb_layers:
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, tokens: Any) -> Any:
        """(B, T) of whole numbers -> (B, T, width)"""
        if self.div_val == 1:
            return self.emb_layers[0](tokens) * self.width**0.5
        numbers = np.asarray(raw(tokens))
        flat = numbers.reshape(-1)
        places, back = self.clusters.places(flat)
        rows = [
            F.linear(table(flat[at] - first), self.emb_projs[i])
            for i, (table, at, (first, _)) in enumerate(zip(self.emb_layers, places, self.clusters.stretches, strict=True))
        ]
        return np.concatenate(rows)[back].reshape(*numbers.shape, self.width) * self.width**0.5


class AdaptiveSoftmax(nn.Module):
    """Grave et al.: p(w | h) = p_head(w | h) of a frequent word, p_head(i | h) p_i(w | h) of one in stretch i.

    Vectors of stretch i have width / div_val^i numbers, and a matrix takes h there; div_val 1: all have the width, no matrices.
    """

    def __init__(self, clusters: Clusters, width: int, div_val: int = 1) -> None:
        super().__init__()
        self.clusters, self.div_val = clusters, div_val
        rare = len(clusters.cutoffs)
        if rare:
            self.cluster_weight = nn.Parameter((rare, width), nn.init.normal(std=0.02))
            self.cluster_bias = nn.Parameter((rare,))
        sizes = [end - first for first, end in clusters.stretches] if div_val > 1 else [clusters.tokens]
        widths = [width // div_val**i for i in range(len(sizes))]
        self.out_layers = nn.ModuleList([nn.Linear(narrow, size) for narrow, size in zip(widths, sizes, strict=True)])
        self.out_projs = Matrices([(width, narrow) for narrow in widths] if div_val > 1 else [])
        for layer in self.out_layers:
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def tied(self, embedding: AdaptiveEmbedding) -> AdaptiveSoftmax:
        """Itself, with the embedding's vectors for its own, and the rare stretches' matrices."""
        for layer, table in zip(self.out_layers, embedding.emb_layers, strict=True):
            layer.weight = table.weight
        for i in range(1, len(self.out_layers)):
            self.out_projs[i] = embedding.emb_projs[i]
        return self

    def within(self, hidden: Any, i: int) -> Any:
        """Log-probabilities in the i-th softmax: (M, width) -> (M, words), or (M, words + K) of the first, number 0."""
        first, end = self.clusters.stretches[i]
        layer = self.out_layers[i if self.div_val > 1 else 0]
        weight, bias = (layer.weight, layer.bias) if self.div_val > 1 else (layer.weight[first:end], layer.bias[first:end])
        if i == 0 and self.clusters.cutoffs:
            weight, bias = np.concatenate([weight, self.cluster_weight]), np.concatenate([bias, self.cluster_bias])
        hidden = hidden @ self.out_projs[i] if self.div_val > 1 else hidden  # (M, width / div_val^i)
        return F.log_softmax(F.linear(hidden, weight, bias))

    def log_prob(self, hidden: Any) -> Any:
        """log p of every word: (*, width) -> (*, tokens)"""
        *leading, width = hidden.shape
        rows = hidden.reshape(-1, width)  # (M, width)
        head, frequent = self.within(rows, 0), self.clusters.stretches[0][1]
        rare = [head[:, -i:][:, :1] + self.within(rows, i) for i in range(1, len(self.clusters.stretches))]
        return np.concatenate([head[:, :frequent], *rare], axis=1).reshape(*leading, self.clusters.tokens)

    def forward(self, hidden: Any, tokens: Any) -> Any:
        """-log p of one word each, by the softmaxes that it needs: (M, width), (M) of whole numbers -> (M)"""
        numbers = np.asarray(raw(tokens))
        places, back = self.clusters.places(numbers)
        head, losses = self.within(hidden, 0), []
        for i, (at, (first, _)) in enumerate(zip(places, self.clusters.stretches, strict=True)):
            if i == 0:
                losses.append(-head[at, numbers[at]])
            elif at.size:
                losses.append(-head[at, -i] - self.within(hidden[at], i)[np.arange(at.size), numbers[at] - first])
        return np.concatenate(losses)[back]
