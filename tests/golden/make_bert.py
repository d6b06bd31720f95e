"""Writes bert.json and bert.npz.

python tests/golden/make_bert.py      # in an environment with torch and transformers at the versions in reference.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers
from reference import fill, write
from weights import noise, numbers, sketch

SIZES = {  # width, layers, heads, positions, tokens
    "bert_base_uncased": (768, 12, 12, 512, 30522),
    "bert_large_uncased": (1024, 24, 16, 512, 30522),
    "bert_base_cased": (768, 12, 12, 512, 28996),
    "bert_large_cased": (1024, 24, 16, 512, 28996),
    "bert_tiny": (64, 2, 4, 128, 512),
}


def whole(name: str, **overrides: Any) -> transformers.BertForPreTraining:
    """transformers' model, where [PAD] is a token like others and its table gets the whole gradient."""
    width, layers, heads, positions, tokens = SIZES[name]
    settings = {
        "vocab_size": tokens, "max_position_embeddings": positions, "hidden_size": width, "num_hidden_layers": layers,
        "num_attention_heads": heads, "intermediate_size": 4 * width, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "pad_token_id": None, **overrides,
    }  # fmt: skip
    return transformers.BertForPreTraining(transformers.BertConfig(**settings))


class Logits(torch.nn.Module):
    """transformers' parts, under its own names, without the entries that are the same as others.

    Its own forward pass looks at values to choose a mask, which the counter of operations has none of: `check` holds both equal.
    """

    def __init__(self, name: str, **overrides: Any) -> None:
        super().__init__()
        model = whole(name, **overrides)
        self.bert, self.cls = model.bert, model.cls
        del self.cls.predictions.decoder

    def forward(
        self, tokens: torch.Tensor, segments: torch.Tensor | None = None, seen: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.bert.embeddings(input_ids=tokens, token_type_ids=segments)
        mask = None if seen is None else seen[:, None, None, :].expand(-1, 1, tokens.shape[1], -1)
        for layer in self.bert.encoder.layer:
            x = layer(x, mask)
            x = x if isinstance(x, torch.Tensor) else x[0]
        head, table = self.cls.predictions, self.bert.embeddings.word_embeddings.weight
        logits = torch.nn.functional.linear(head.transform(x), table, head.bias)
        return logits, self.cls.seq_relationship(self.bert.pooler(x))


def build(name: str, **overrides: Any) -> torch.nn.Module:
    """The reference of a name."""
    return Logits(name, **overrides)


def pairs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, segments and where no padding is, of three pairs of sentences: the longest has none."""
    tokens = torch.from_numpy(numbers("pairs", (3, 20), 60))
    places = torch.arange(20)
    segments = (places >= torch.tensor([[8], [5], [11]])).long()
    return tokens, segments, places < torch.tensor([[20], [13], [17]])


def padded() -> dict[str, np.ndarray]:
    """What transformers' whole model says of those pairs, and the gradients of <logits, random cotangents>.

    Of tokens that are no padding alone.
    """
    state = fill(Logits("bert_tiny", vocab_size=60)).state_dict()
    model = whole("bert_tiny", vocab_size=60).eval()
    model.load_state_dict(state, strict=False)  # without the tied ones
    model.double()
    tokens, segments, seen = pairs()
    found = model(tokens, token_type_ids=segments, attention_mask=seen.long())
    ys = found.prediction_logits * seen[:, :, None], found.seq_relationship_logits
    sum((y * torch.from_numpy(noise(f"cotangent{i}", tuple(y.shape)))).sum() for i, y in enumerate(ys)).backward()
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters() if name in state}
    return {
        "pairs/mlm": ys[0].detach().numpy(),
        "pairs/nsp": ys[1].detach().numpy(),
        "pairs/norms": np.array([np.linalg.norm(g) for g in gradients.values()]),
        "pairs/sketches": np.concatenate([sketch(name, g) for name, g in gradients.items()]),
    }


def check() -> None:
    """Ends the program where the structure above and transformers' own differ."""
    own, theirs = fill(Logits("bert_tiny")).double().eval(), whole("bert_tiny").double().eval()
    theirs.load_state_dict(own.state_dict(), strict=False)
    tokens, segments, seen = pairs()
    with torch.no_grad():
        for a, b in (((tokens,), {}), ((tokens, segments, seen), {"token_type_ids": segments, "attention_mask": seen.long()})):
            found = theirs(tokens, **b)
            for mine, its in zip(own(*a), (found.prediction_logits, found.seq_relationship_logits), strict=True):
                torch.testing.assert_close(mine, its, rtol=1e-12, atol=1e-12)


def case(name: str, length: int, batch: int, **overrides: Any) -> dict[str, Any]:
    """A case of whole numbers."""
    tokens = overrides.get("vocab_size", SIZES[name][-1])
    return {"model": name, "input": [length], "batch": batch, "tokens": tokens, "overrides": overrides}


SHORT = {"max_position_embeddings": 16, "vocab_size": 60}
CASES: dict[str, dict[str, Any]] = {
    "tiny": {**case("bert_tiny", 24, 2, vocab_size=60), "gradients": True},
    "tiny train": {**case("bert_tiny", 24, 2, vocab_size=60), "gradients": True, "train": True},
    "base": {**case("bert_base_cased", 12, 1, num_hidden_layers=1, **SHORT), "gradients": True},
    "large": case("bert_large_uncased", 9, 1, num_hidden_layers=1, **SHORT),
}

if __name__ == "__main__":
    check()
    write("bert", build, CASES, {name: (sizes[3],) for name, sizes in SIZES.items()}, [transformers], more=padded())
