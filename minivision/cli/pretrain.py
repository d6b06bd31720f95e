"""`minivision pretrain`: a run of a masked image model, on the screen of `train`."""

from __future__ import annotations

from argparse import Namespace

from ..train import PretrainConfig
from . import train


def run(chosen: Namespace) -> int:
    """Pre-trains, or goes on with it, and says what came of it and where it is."""
    return train.run(chosen, PretrainConfig)
