"""Training: a Config, a Trainer that takes steps and can be saved between any two, and a run that does it all in a folder."""

from __future__ import annotations

from .config import Config, PretrainConfig, TextConfig
from .initial import begin_from
from .pretrain import Pretrainer, reconstructions
from .run import Interrupted, Watcher, resume, start
from .streams import StreamTrainer, text_trainer
from .texts import TextTrainer
from .trainer import Trainer, evaluate, predict

__all__ = [
    "Config", "Interrupted", "PretrainConfig", "Pretrainer", "StreamTrainer", "TextConfig", "TextTrainer", "Trainer", "Watcher",
    "begin_from", "evaluate", "predict", "reconstructions", "resume", "start", "text_trainer",
]  # fmt: skip
