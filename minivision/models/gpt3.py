"""Language Models are Few-Shot Learners (GPT-3).

Brown, Mann, Ryder, Subbiah, Kaplan, and 26 others. NeurIPS 2020, arXiv 2005.14165.

GPT-2 in eight sizes up to a hundred times its own, which is never tuned to a task: a few worked examples stand in the text before
the question, and no weight moves (minivision.in_context). In every second layer a token sees the nearest before it alone, the
pattern of Child et al. 2019 (arXiv 1904.10509), so that half of the layers cost what the length does, and not its square.

Names and keys are GPT-2's. The weights were not published, nor was how wide the band is and whether the first layer has one:
`band` is our choice, and the first layer sees all. Deviations: in two rows of Table 2.1 heads times their width are not the width
of the model. With 16 heads of 128 for the 1.3B (printed: 24) and a width of 5120 for the 13B (printed: 5140) the parameters are
those of the paper's Table D.1. No dropout unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from ._registry import register
from .gpt2 import GPT2, Attention, GPT2Config


def band(queries: int, keys: int, reach: int) -> np.ndarray:
    """Which keys a query may see: its own token's and the reach - 1 before it.  -> (queries, keys), True where it may

    The last query is of the last key's token: query i is token t = i + keys - queries, and sees s where t - reach < s <= t.
    """
    offset = keys - queries
    return np.tri(queries, keys, offset, bool) & ~np.tri(queries, keys, offset - reach, bool)


class BandedAttention(Attention):
    """Section 2.1, "locally banded": a token sees itself and the band - 1 before it.

    Of n tokens that are n w - w (w - 1) / 2 pairs for a band of w <= n, in place of n (n + 1) / 2.
    """

    def __init__(self, config: GPT3Config) -> None:
        super().__init__(config)
        self.band = config.band

    def attend(self, q: Any, k: Any, v: Any) -> Any:
        """softmax(q k^T / sqrt(D_h)) v over the last self.band keys of each query.  q (B, heads, T, D_h), k, v (B, heads, N, D_h)

        The last query is of the last key's token. All N tokens at once are cut into blocks of self.band queries, whose keys are
        those of the block before and of their own: no array is N x N.
        """
        (T, D), N, w = q.shape[2:], k.shape[2], self.band
        if w >= N:
            return Attention.attend(self, q, k, v)
        if T < N:  # behind a memory: keys that no query sees are left out
            k, v = k[:, :, -(T + w - 1) :], v[:, :, -(T + w - 1) :]
            return F.scaled_dot_product_attention(q, k, v, None if T == 1 else band(T, k.shape[2], w))
        q, k, v = (F.pad(x, (0, 0, front, -N % w)) for x, front in ((q, 0), (k, w), (v, w)))
        q, k, v = (x.reshape(*x.shape[:2], -1, w, D) for x in (q, k, v))  # (B, heads, blocks, w, D_h); of k and v 1 + blocks
        k, v = (np.concatenate([x[:, :, :-1], x[:, :, 1:]], axis=3) for x in (k, v))  # (B, heads, blocks, 2 w, D_h)
        seen = np.tile(band(w, 2 * w, w), (q.shape[2], 1, 1))  # (blocks, w, 2 w)
        seen[0, :, :w] = False  # nothing stands before the text
        return F.scaled_dot_product_attention(q, k, v, seen).reshape(*q.shape[:2], -1, D)[:, :, :N]


class GPT3(GPT2):
    """Section 2.1: tokens (B, T) -> logits (B, T, V); layers of dense and of banded attention take turns."""


@dataclass(frozen=True)
class GPT3Config(GPT2Config):
    """Table 2.1 and what a user may change.

    band: how many tokens a layer of odd number sees, its own among them. Not the paper's, which does not say.
    """

    n_positions: int = 2048
    band: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.band < 1:
            raise ValueError(f"band is at least 1, the token itself, got {self.band}")

    def attention(self, block: int) -> type[Attention]:
        """Dense for even numbers of blocks, from 0, banded for odd ones."""
        return BandedAttention if block % 2 else Attention


@register("gpt3_125m", GPT3Config(768, 12, 12), params=125_226_240, macs=301_311_983_616)
@register("gpt3_350m", GPT3Config(1024, 24, 16), params=355_871_744, macs=852_720_877_568)
@register("gpt3_760m", GPT3Config(1536, 24, 16), params=760_300_032, macs=1_742_937_784_320)
@register("gpt3_1_3b", GPT3Config(2048, 24, 16), params=1_315_723_264, macs=2_942_392_336_384)
@register("gpt3_2_7b", GPT3Config(2560, 32, 32), params=2_651_553_280, macs=5_846_948_904_960)
@register("gpt3_6_7b", GPT3Config(4096, 32, 32), params=6_658_404_352, macs=14_302_920_572_928)
@register("gpt3_13b", GPT3Config(5120, 40, 40), params=12_853_386_240, macs=27_370_528_440_320)
@register("gpt3_175b", GPT3Config(12288, 96, 96), params=174_604_259_328, macs=363_691_279_122_432)
@register("gpt3_tiny", GPT3Config(64, 4, 4, n_positions=128, vocab_size=512, band=16))
def build(config: GPT3Config) -> GPT3:
    """A GPT-3 of the given configuration."""
    return GPT3(config)
