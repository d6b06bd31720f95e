"""What transformers have in common whose maps halve from stage to stage."""

from __future__ import annotations

import numpy as np


class Stages:
    """A configuration of stages of blocks, each with half the rows and columns of the one before and twice the channels."""

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    drop_path_rate: float

    def dim(self, stage: int) -> int:
        """Channels of a stage."""
        return self.embed_dim << stage

    def rates(self) -> list[list[float]]:
        """The chance of leaving out a branch of each stage's blocks: deeper ones are left out more often."""
        ends = np.cumsum(self.depths)
        return [each.tolist() for each in np.split(np.linspace(0.0, self.drop_path_rate, ends[-1]), ends[:-1])]

    def check_stages(self, *others: str) -> None:
        """ValueError where num_heads and the settings `others` are not of as many stages, or heads do not divide channels."""
        names = ["num_heads", *others]
        settings = [self.depths, *(getattr(self, name) for name in names)]
        if not self.depths or min(self.depths) < 1 or len(set(map(len, settings))) > 1:
            named = f" {' and '.join(names)}" if others else " and num_heads"
            came = f"{', '.join(map(str, settings[:-1]))} and {settings[-1]}"
            start = "depths has the blocks of each stage, at least one in each,"
            raise ValueError(f"{start}{named} as many numbers, got {came}")
        for i, count in enumerate(self.num_heads):
            if count < 1 or self.dim(i) % count:
                raise ValueError(f"stage {i} has {self.dim(i)} channels, which should be a multiple of its {count} heads")
