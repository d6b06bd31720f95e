"""BERT, small."""

from dataclasses import replace
from typing import Any

from minivision import functional as F
from minivision.models.bert import Pretraining
from minivision.models.bert_encoder import BertConfig

from . import Miniature


def smaller(config: BertConfig) -> BertConfig:
    """Two narrow blocks, seven tokens of six."""
    narrow = 4 * config.num_attention_heads
    return replace(config, hidden_size=narrow, num_hidden_layers=2, max_position_embeddings=7, vocab_size=6)


def loss(y: Pretraining) -> Any:
    """Of a token and of the pair."""
    return F.cross_entropy(y.mlm[:, -1], [0, 1, 2]) + F.cross_entropy(y.nsp, [0, 1, 1])


MINIATURES = {BertConfig: Miniature(smaller, loss=loss, kinks=False, idle=("key.bias",))}
