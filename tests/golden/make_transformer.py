"""Writes transformer.json and transformer.npz.

python tests/golden/make_transformer.py      # in an environment with torch at the version in reference.py
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from reference import fill, write
from torch import nn
from weights import noise, numbers

SIZES = {  # width, heads, layers, width between, tokens, positions
    "transformer_base": (512, 8, 6, 2048, 37000, 256),
    "transformer_big": (1024, 16, 6, 4096, 37000, 256),
    "transformer_tiny": (32, 4, 2, 64, 16, 16),
}


class Model(nn.Module):
    """torch.nn.Transformer and a table of tokens; without attention's biases and final norms unless asked for.

    Its own forward pass looks at the values of masks, which the counter of operations has none of, so the layers are called one
    by one: `whole` holds both equal.
    """

    def __init__(
        self,
        name: str,
        num_encoder_layers: int | None = None,
        num_decoder_layers: int | None = None,
        vocab_size: int | None = None,
        attention_bias: bool = False,
        final_norm: bool = False,
    ) -> None:
        super().__init__()
        d, heads, layers, between, tokens, _ = SIZES[name]
        deep, also = num_encoder_layers or layers, num_decoder_layers or layers
        whole = nn.Transformer(d, heads, deep, also, between, dropout=0.0, batch_first=True)
        if not attention_bias:
            for layer in (*whole.encoder.layers, *whole.decoder.layers):
                for part in ("self_attn", "multihead_attn"):
                    if hasattr(layer, part):
                        setattr(layer, part, nn.MultiheadAttention(d, heads, bias=False, batch_first=True))
        if not final_norm:
            whole.encoder.norm = whole.decoder.norm = None
        self.encoder, self.decoder, self.whole = whole.encoder, whole.decoder, [whole]  # in a list: no part of the state
        self.embedding = nn.Embedding(vocab_size or tokens, d)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        d = self.embedding.embedding_dim
        channel = torch.arange(d, device=tokens.device, dtype=torch.float64)
        place = torch.arange(tokens.shape[1], device=tokens.device, dtype=torch.float64)
        angle = torch.outer(place, torch.pow(10000.0, -2.0 * torch.div(channel, 2, rounding_mode="floor") / d))
        table = torch.where(channel % 2 == 0, angle.sin(), angle.cos())
        return self.embedding(tokens) * math.sqrt(d) + table.to(self.embedding.weight.dtype)

    def forward(self, source: torch.Tensor, target: torch.Tensor | None = None, seen: torch.Tensor | None = None) -> torch.Tensor:
        target = source if target is None else target
        hidden = None if seen is None else ~seen
        x, y = self.embed(source), self.embed(target)
        for layer in self.encoder.layers:
            x = layer(x, src_key_padding_mask=hidden)
        x = x if self.encoder.norm is None else self.encoder.norm(x)
        future = torch.ones(y.shape[1], y.shape[1], dtype=torch.bool, device=y.device).triu(1)
        for layer in self.decoder.layers:
            y = layer(y, x, tgt_mask=future, memory_key_padding_mask=hidden)
        y = y if self.decoder.norm is None else self.decoder.norm(y)
        return y @ self.embedding.weight.T


def ragged() -> tuple[torch.Tensor, ...]:
    """Sources of 9, 4 and 6 tokens in nine places, targets of five."""
    source, target = (torch.from_numpy(numbers(name, shape, 16)) for name, shape in (("source", (3, 9)), ("target", (3, 5))))
    return source, target, torch.arange(9) < torch.tensor([[9], [4], [6]])


def whole(**overrides: Any) -> dict[str, np.ndarray]:
    """torch.nn.Transformer's own pass over ragged sources, which has to be what the structure above gives; and its gradient."""
    own = fill(Model("transformer_tiny", **overrides)).double().train()
    source, target, seen = ragged()
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    hidden = torch.zeros(3, 9, dtype=torch.float64).masked_fill(~seen, -math.inf)
    y = own.whole[0](
        own.embed(source), own.embed(target), tgt_mask=mask, src_key_padding_mask=hidden, memory_key_padding_mask=hidden
    )
    logits = y @ own.embedding.weight.T
    torch.testing.assert_close(own(source, target, seen), logits, rtol=1e-12, atol=1e-12)
    (logits * torch.from_numpy(noise("cotangent", tuple(logits.shape)))).sum().backward()
    gradient = own.embedding.weight.grad
    return {"logits": logits.detach().numpy(), "gradient": gradient.numpy()}


build = Model


def case(name: str, length: int, batch: int, **overrides: Any) -> dict[str, Any]:
    """A case of whole numbers: the source is the target, too."""
    tokens = overrides.get("vocab_size", SIZES[name][4])
    return {"model": name, "input": [length], "batch": batch, "tokens": tokens, "overrides": overrides}


ONE = {"num_encoder_layers": 1, "num_decoder_layers": 1, "vocab_size": 60}
TORCH = {"attention_bias": True, "final_norm": True}
CASES: dict[str, dict[str, Any]] = {
    "tiny": {**case("transformer_tiny", 12, 2), "gradients": True},
    "tiny train": {**case("transformer_tiny", 12, 2), "gradients": True, "train": True},
    "tiny torch": {**case("transformer_tiny", 12, 2, **TORCH), "gradients": True},
    "base": {**case("transformer_base", 9, 1, **ONE), "gradients": True},
    "big": case("transformer_big", 5, 1, **ONE),
}

if __name__ == "__main__":
    torch.backends.mha.set_fastpath_enabled(False)
    torch.set_num_threads(1)
    more = {f"ragged/{label}/{key}": a for label, o in (("paper", {}), ("torch", TORCH)) for key, a in whole(**o).items()}
    write("transformer", Model, CASES, {name: (sizes[5],) for name, sizes in SIZES.items()}, more=more)
