"""Writes gpt3.json and gpt3.npz.

python tests/golden/make_gpt3.py      # in an environment with torch and transformers at the versions in reference.py
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import transformers
from reference import fill, write
from weights import numbers

SIZES = {  # width, layers, heads, positions, tokens, band
    "gpt3_125m": (768, 12, 12, 2048, 50257, 256),
    "gpt3_350m": (1024, 24, 16, 2048, 50257, 256),
    "gpt3_760m": (1536, 24, 16, 2048, 50257, 256),
    "gpt3_1_3b": (2048, 24, 16, 2048, 50257, 256),
    "gpt3_2_7b": (2560, 32, 32, 2048, 50257, 256),
    "gpt3_6_7b": (4096, 32, 32, 2048, 50257, 256),
    "gpt3_13b": (5120, 40, 40, 2048, 50257, 256),
    "gpt3_175b": (12288, 96, 96, 2048, 50257, 256),
    "gpt3_tiny": (64, 4, 4, 128, 512, 16),
}


def banded(module: Any, q: Any, k: Any, v: Any, mask: Any, scaling: float, **others: Any) -> tuple[Any, None]:
    """Windows of 2 w keys for w queries each, the scores written out.  (B, heads, N, D_h) -> (B, N, heads, D_h)"""
    N, w = q.shape[2], module.config.band
    end = (N + w - 1) // w * w - N
    q = torch.nn.functional.pad(q, (0, 0, 0, end)).unflatten(2, (-1, w))  # (B, heads, blocks, w, D_h)
    k, v = (torch.nn.functional.pad(x, (0, 0, w, end)).unfold(2, 2 * w, w) for x in (k, v))  # (B, heads, blocks, D_h, 2 w)
    first = torch.arange(q.shape[2], device=q.device)[:, None] * w
    t = (first + torch.arange(w, device=q.device))[..., None]  # (blocks, w, 1)
    s = (first - w + torch.arange(2 * w, device=q.device))[:, None]  # (blocks, 1, 2 w)
    hidden = (s < 0) | (s > t) | (s <= t - w)
    weights = (torch.matmul(q, k) * scaling).masked_fill(hidden, -torch.inf).softmax(-1)
    return torch.matmul(weights, v.mT).flatten(2, 3)[:, :, :N].transpose(1, 2), None


transformers.AttentionInterface.register("banded", banded)


class Logits(torch.nn.Module):
    """transformers' GPT-2, in whose odd blocks attention is `banded`, and the logits by the table of tokens.

    No band was published with the weights, and none of transformers' models has GPT-2's attention with one. `check` holds the
    band to their own attention under a mask.
    """

    def __init__(
        self,
        name: str,
        n_embd: int | None = None,
        n_head: int | None = None,
        n_layer: int | None = None,
        n_positions: int | None = None,
        vocab_size: int | None = None,
        band: int | None = None,
    ) -> None:
        super().__init__()
        width, layers, heads, positions, tokens, reach = SIZES[name]
        config = transformers.GPT2Config(
            vocab_size=vocab_size or tokens, n_positions=n_positions or positions, n_embd=n_embd or width,
            n_layer=n_layer or layers, n_head=n_head or heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
        )  # fmt: skip
        whole = transformers.GPT2LMHeadModel(config)
        self.transformer, self.reach = whole.transformer, band or reach
        for block in self.transformer.h[1::2]:
            block.attn.config = copy.copy(config)
            block.attn.config.band, block.attn.config._attn_implementation = self.reach, "banded"

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        body = self.transformer
        x = body.wte(tokens) + body.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in body.h:
            x = block(x)
        return torch.nn.functional.linear(body.ln_f(x), body.wte.weight)


def check() -> None:
    """Ends the program where `banded` differs from transformers' own attention under a mask, for several bands and lengths."""
    for band, length in [(1, 7), (3, 12), (3, 13), (5, 4), (16, 40), (40, 40), (41, 40)]:
        own, masked = (fill(Logits("gpt3_tiny", band=band)).double().eval() for _ in range(2))
        for block in masked.transformer.h:
            block.attn.config = copy.copy(masked.transformer.config)
            block.attn.config._attn_implementation = "eager"
        distance = torch.arange(length)[:, None] - torch.arange(length)
        full, near = (
            torch.where(seen, 0.0, -torch.inf).double() for seen in (distance >= 0, (distance >= 0) & (distance < band))
        )
        tokens = torch.from_numpy(numbers("input", (2, length), 512))
        with torch.no_grad():
            body = masked.transformer
            x = body.wte(tokens) + body.wpe(torch.arange(length))
            for number, block in enumerate(body.h):
                x = block(x, attention_mask=near if number % 2 else full)
            gap = (own(tokens) - body.ln_f(x) @ body.wte.weight.T).abs().max().item()
        if gap > 1e-12:
            raise SystemExit(f"a band of {band} on {length} tokens differs from the mask by {gap}")


def case(name: str, length: int, batch: int, **overrides: Any) -> dict[str, Any]:
    """A case of whole numbers."""
    tokens = overrides.get("vocab_size", SIZES[name][4])
    return {"model": name, "input": [length], "batch": batch, "tokens": tokens, "overrides": overrides}


CASES: dict[str, dict[str, Any]] = {
    "tiny": {**case("gpt3_tiny", 40, 2, vocab_size=120), "gradients": True},
    "tiny train": {**case("gpt3_tiny", 40, 2, vocab_size=120), "gradients": True, "train": True},
    "narrow band": {**case("gpt3_tiny", 25, 1, vocab_size=60, band=3), "gradients": True},
    "itself alone": case("gpt3_tiny", 9, 2, vocab_size=60, band=1),
    "short text": {**case("gpt3_tiny", 7, 2, vocab_size=60, band=8), "gradients": True},
    "small": {**case("gpt3_125m", 12, 1, n_layer=2, n_positions=16, vocab_size=60, band=5), "gradients": True},
    "xl": case("gpt3_1_3b", 12, 1, n_embd=256, n_layer=2, n_positions=16, vocab_size=60, band=5),
}

if __name__ == "__main__":
    check()
    write("gpt3", Logits, CASES, {name: (sizes[3],) for name, sizes in SIZES.items()}, [transformers])
