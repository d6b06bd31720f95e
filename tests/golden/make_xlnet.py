"""Writes xlnet.json and xlnet.npz.

python tests/golden/make_xlnet.py      # in an environment with torch and transformers at the versions in reference.py

Beside the cases, xlnet.npz has streams/...: both streams by perm_mask and target_mapping, with segments, padding and memory, and
streams/leak: what a query that may see nothing gives there, where -1e30 is added to all of its scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers
from reference import fill, run, write
from weights import noise, numbers

SIZES = {  # width, layers, heads, inner width, length in pre-training, tokens
    "xlnet_base_cased": (768, 12, 12, 3072, 512, 32000),
    "xlnet_large_cased": (1024, 24, 16, 4096, 512, 32000),
    "xlnet_tiny": (64, 4, 4, 256, 128, 512),
}
ORDER = [[3, 0, 5, 1, 7, 4, 2, 6], [6, 5, 4, 7, 0, 1, 2, 3]]  # of both texts
PLACES = [[4, 2, 6], [1, 2, 3]]  # the last turns
SEGMENTS = [[0, 0, 0, 1, 1, 1, 1, 2], [1, 1, 0, 0, 0, 0, 0, 2]]
REMEMBERED = 5  # tokens before them


def sines(qlen: int, klen: int, bsz: int = 1, device: Any = None, width: int = 64) -> torch.Tensor:
    """transformers' relative_positional_encoding, in float64 throughout."""
    n = torch.arange(klen, -qlen, -1.0, dtype=torch.float64, device=device)
    angles = n[:, None] / 10000.0 ** (torch.arange(0, width, 2, dtype=torch.float64, device=device) / width)
    return torch.cat([angles.sin(), angles.cos()], -1)[:, None].expand(-1, bsz, -1)


class Logits(torch.nn.Module):
    """transformers' network under its own names, with the logits by the table of tokens and the bias alone beside it."""

    def __init__(self, name: str, n_layer: int | None = None, vocab_size: int | None = None, exact: bool = True) -> None:
        super().__init__()
        width, layers, heads, inner, _, tokens = SIZES[name]
        config = transformers.XLNetConfig(
            vocab_size=vocab_size or tokens, d_model=width, n_layer=n_layer or layers, n_head=heads, d_inner=inner, dropout=0.0,
            use_mems_eval=False,
        )  # fmt: skip
        whole = transformers.XLNetLMHeadModel(config)
        self.transformer, self.lm_loss, self.whole = whole.transformer, torch.nn.Module(), [whole]  # in a list: no entries
        self.lm_loss.bias = whole.lm_loss.bias
        if exact:
            self.transformer.relative_positional_encoding = self.positions

    def positions(self, qlen: int, klen: int, bsz: int = 1, device: Any = None) -> torch.Tensor:
        """In the model's element type."""
        return sines(qlen, klen, bsz, device, self.transformer.d_model).to(self.transformer.dtype)

    def forward(self, tokens: torch.Tensor, **more: Any) -> torch.Tensor:
        x = self.transformer(tokens, **more).last_hidden_state
        return torch.nn.functional.linear(x, self.transformer.word_embedding.weight, self.lm_loss.bias)


build = Logits


def hidden(order: list[int]) -> list[list[float]]:
    """1 where place i may not see place j: j's turn is not before i's."""
    return [[float(order.index(i) <= order.index(j)) for j in range(len(order))] for i in range(len(order))]


class Streams(Logits):
    """The query stream's logits, then the content stream's, which are computed without it."""

    def forward(self, tokens: torch.Tensor, **more: Any) -> Any:
        dtype, (B, T), D = self.transformer.dtype, tokens.shape, self.transformer.d_model
        more = {"perm_mask": torch.tensor([hidden(order) for order in ORDER], dtype=dtype)}
        more["token_type_ids"] = torch.tensor(SEGMENTS)
        more["attention_mask"] = torch.ones(B, T, dtype=dtype)
        more["attention_mask"][1, 6] = 0.0
        memories = [torch.from_numpy(noise(f"memory {i}", (B, REMEMBERED, D))) for i in range(len(self.transformer.layer))]
        more["mems"] = [memory.to(dtype).transpose(0, 1) for memory in memories]
        target = torch.nn.functional.one_hot(torch.tensor(PLACES), T).to(dtype)
        return super().forward(tokens, target_mapping=target, **more), super().forward(tokens, **more)


def leak() -> np.ndarray:
    """The logits (2, V) of both texts' first turns, without memory."""
    model, tokens = fill(Logits("xlnet_tiny", n_layer=2, vocab_size=50)).double().eval(), numbers("input", (2, 8), 50)
    target = torch.nn.functional.one_hot(torch.tensor([[order[0]] for order in ORDER]), 8).double()
    with torch.no_grad():
        seen = {"perm_mask": torch.tensor([hidden(order) for order in ORDER]).double(), "target_mapping": target}
        return model(torch.from_numpy(tokens), **seen)[:, 0].numpy()


def check() -> None:
    """Ends the program where sines in float64 change more than float32 can tell, or where the logits are another matrix's."""
    tokens = torch.from_numpy(numbers("input", (2, 40), 512))
    ours, theirs = (fill(Logits("xlnet_tiny", exact=exact)).float().eval() for exact in (True, False))
    with torch.no_grad():
        exact, plain, whole = ours(tokens), theirs(tokens), theirs.whole[0](tokens).logits
    if (gap := (exact - plain).abs().max().item()) > 1e-4 or (whole - plain).abs().max().item() > 1e-6:
        raise SystemExit(f"the network here and transformers' own differ by {gap}")


def case(name: str, length: int, batch: int, **overrides: Any) -> dict[str, Any]:
    """A case of whole numbers."""
    tokens = overrides.get("vocab_size", SIZES[name][-1])
    return {"model": name, "input": [length], "batch": batch, "tokens": tokens, "overrides": overrides}


CASES: dict[str, dict[str, Any]] = {
    "tiny": {**case("xlnet_tiny", 24, 2, vocab_size=120), "gradients": True},
    "tiny train": {**case("xlnet_tiny", 24, 2, vocab_size=120), "gradients": True, "train": True},
    "base": {**case("xlnet_base_cased", 12, 1, n_layer=2, vocab_size=60), "gradients": True},
    "large": case("xlnet_large_cased", 5, 1, n_layer=1, vocab_size=60),
}
STREAMS = {**case("xlnet_tiny", 8, 2, n_layer=2, vocab_size=50), "gradients": True}

if __name__ == "__main__":
    check()
    streams = run(Streams("xlnet_tiny", **STREAMS["overrides"]), STREAMS)
    more = {f"streams/{key}": value for key, value in streams.items()} | {"streams/leak": leak()}
    write("xlnet", Logits, CASES, {name: (sizes[4],) for name, sizes in SIZES.items()}, [transformers], more=more)
