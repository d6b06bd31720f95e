"""Writes igpt.json and igpt.npz.

python tests/golden/make_igpt.py      # in an environment with torch and transformers at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers
from reference import fill, write
from weights import numbers

SIZES = {  # width, layers, heads, positions, tokens
    "igpt_small": (512, 24, 8, 1024, 513),
    "igpt_medium": (1024, 36, 8, 1024, 513),
    "igpt_large": (1536, 48, 16, 1024, 513),
    "igpt_digits": (64, 6, 4, 64, 17),
}
LAYERS = 0, 3, 6  # whose features are recorded


class Logits(torch.nn.Module):
    """transformers' model, under its own names, that returns the logits alone."""

    def __init__(self, name: str, n_layer: int | None = None, n_positions: int | None = None) -> None:
        super().__init__()
        width, layers, heads, positions, tokens = SIZES[name]
        config = transformers.ImageGPTConfig(
            vocab_size=tokens, n_positions=n_positions or positions, n_embd=width, n_layer=n_layer or layers, n_head=heads,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, tie_word_embeddings=False, use_cache=False,
        )  # fmt: skip
        whole = transformers.ImageGPTForCausalImageModeling(config)
        self.transformer, self.lm_head = whole.transformer, whole.lm_head

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.lm_head(self.transformer(tokens).last_hidden_state)


def features() -> dict[str, np.ndarray]:
    """Means of normalised hidden states, as transformers gives them; the state behind the last block comes normalised."""
    model = fill(Logits("igpt_digits")).double().eval()
    tokens = torch.from_numpy(numbers("input", (3, 64), 16))
    read = torch.cat([torch.full((3, 1), 16), tokens[:, :-1]], 1)
    with torch.no_grad():
        hidden = model.transformer(read, output_hidden_states=True).hidden_states
        norms = [*(block.ln_1 for block in model.transformer.h), torch.nn.Identity()]
        return {f"features/{layer}": norms[layer](hidden[layer]).mean(1).numpy() for layer in LAYERS}


def case(name: str, length: int, batch: int, **overrides: Any) -> dict[str, Any]:
    """A case of whole numbers."""
    return {"model": name, "input": [length], "batch": batch, "tokens": SIZES[name][-1], "overrides": overrides}


CASES: dict[str, dict[str, Any]] = {
    "digits eval": {**case("igpt_digits", 64, 2), "gradients": True},
    "digits train": {**case("igpt_digits", 64, 2), "gradients": True, "train": True},
    "digits short": {**case("igpt_digits", 9, 2, n_layer=1), "gradients": True},
    "small": {**case("igpt_small", 12, 1, n_layer=2, n_positions=16), "gradients": True},
    "medium": case("igpt_medium", 5, 1, n_layer=1, n_positions=16),
    "large": case("igpt_large", 3, 1, n_layer=1, n_positions=16),
}

if __name__ == "__main__":
    write("igpt", Logits, CASES, {name: (sizes[3],) for name, sizes in SIZES.items()}, [transformers], more=features())
