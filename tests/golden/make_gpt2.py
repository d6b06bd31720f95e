"""Writes gpt2.json and gpt2.npz.

python tests/golden/make_gpt2.py      # in an environment with torch and transformers at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from reference import fill, write
from weights import numbers

SIZES = {  # width, layers, heads, positions, tokens
    "gpt2": (768, 12, 12, 1024, 50257),
    "gpt2_medium": (1024, 24, 16, 1024, 50257),
    "gpt2_large": (1280, 36, 20, 1024, 50257),
    "gpt2_xl": (1600, 48, 25, 1024, 50257),
    "gpt2_tiny": (64, 4, 4, 128, 512),
}


class Logits(torch.nn.Module):
    """transformers' blocks, under its own names, and the logits by the table of tokens.

    Its own forward pass looks at values to choose a mask, which the counter of operations has none of: `check` holds both equal.
    """

    def __init__(
        self, name: str, n_layer: int | None = None, n_positions: int | None = None, vocab_size: int | None = None
    ) -> None:
        super().__init__()
        width, layers, heads, positions, tokens = SIZES[name]
        config = transformers.GPT2Config(
            vocab_size=vocab_size or tokens, n_positions=n_positions or positions, n_embd=width, n_layer=n_layer or layers,
            n_head=heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
        )  # fmt: skip
        whole = transformers.GPT2LMHeadModel(config)
        self.transformer, self.whole = whole.transformer, [whole]  # in a list: no part of the state

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        body = self.transformer
        x = body.wte(tokens) + body.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in body.h:
            x = block(x)
            x = x if isinstance(x, torch.Tensor) else x[0]
        return torch.nn.functional.linear(body.ln_f(x), body.wte.weight)


def check() -> None:
    """Ends the program where the structure above and transformers' own differ."""
    own = fill(Logits("gpt2_tiny")).double().eval()
    tokens = torch.from_numpy(numbers("input", (2, 40), 512))
    with torch.no_grad():
        gap = (own(tokens) - own.whole[0](tokens).logits).abs().max().item()
    if gap > 1e-12:
        raise SystemExit(f"the structure here and transformers' own differ by {gap}")


def case(name: str, length: int, batch: int, **overrides: Any) -> dict[str, Any]:
    """A case of whole numbers."""
    tokens = overrides.get("vocab_size", SIZES[name][-1])
    return {"model": name, "input": [length], "batch": batch, "tokens": tokens, "overrides": overrides}


CASES: dict[str, dict[str, Any]] = {
    "tiny": {**case("gpt2_tiny", 24, 2, vocab_size=120), "gradients": True},
    "tiny train": {**case("gpt2_tiny", 24, 2, vocab_size=120), "gradients": True, "train": True},
    "small": {**case("gpt2", 12, 1, n_layer=2, n_positions=16, vocab_size=60), "gradients": True},
    "medium": case("gpt2_medium", 5, 1, n_layer=1, n_positions=16, vocab_size=60),
    "large": case("gpt2_large", 5, 1, n_layer=1, n_positions=16, vocab_size=60),
    "xl": case("gpt2_xl", 5, 1, n_layer=1, n_positions=16, vocab_size=60),
}

if __name__ == "__main__":
    check()
    write("gpt2", Logits, CASES, {name: (sizes[3],) for name, sizes in SIZES.items()}, [transformers])
