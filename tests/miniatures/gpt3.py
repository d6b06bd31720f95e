"""GPT-3, small."""

from dataclasses import replace

from minivision import functional as F
from minivision.models.gpt3 import GPT3Config

from . import Miniature


def smaller(config: GPT3Config) -> GPT3Config:
    """A dense and a banded block, narrow, seven tokens of six, of which the band sees three."""
    return replace(config, n_embd=16, n_head=4, n_layer=2, n_positions=7, vocab_size=6, band=3)


MINIATURES = {GPT3Config: Miniature(smaller, loss=lambda y: F.cross_entropy(y[:, -1], [0, 1, 2]), kinks=False)}
