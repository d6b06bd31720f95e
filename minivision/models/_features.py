"""The maps inside a model, for what stands on them: detectors, segmentation, pictures.

A model that has maps gives them one by one by `forward_maps(x)` and describes them in `feature_info`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .. import nn


class FeatureMaps(nn.Module):
    """Images (B, C, H, W) -> the chosen maps of a model, each (B, channels, H / stride, W / stride).

    out_indices: which of the model's feature_info, from 0; all without it. What comes after the last one is not computed. The
    state dict is the whole model's, so that its checkpoints load.
    """

    def __init__(self, model: Any, out_indices: Iterable[int] | None = None) -> None:
        super().__init__()
        if not hasattr(model, "forward_maps"):
            raise TypeError(f"{type(model).__name__} has no maps that features_only could give")
        count = len(model.feature_info)
        chosen = tuple(range(count)) if out_indices is None else tuple(map(int, out_indices))
        if not chosen or any(not -count <= i < count for i in chosen):
            maps = ", ".join(f"{i}: {each.module} (stride {each.stride})" for i, each in enumerate(model.feature_info))
            raise ValueError(f"out_indices should be some of {type(model).__name__}'s maps {{{maps}}}, got {chosen}")
        self.out_indices = tuple(sorted({i % count for i in chosen}))
        self.model, self.config = model, model.config
        self.feature_info = [model.feature_info[i] for i in self.out_indices]

    def forward(self, x: Any) -> list[Any]:
        """The maps, from large to small."""
        found = []
        for i, y in enumerate(self.model.forward_maps(x)):
            if i in self.out_indices:
                found.append(y)
            if i == self.out_indices[-1]:
                break
        return found

    def state_dict(self, *, copy: bool = True) -> dict[str, Any]:
        """The model's."""
        return self.model.state_dict(copy=copy)

    def from_published(self, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the model's."""
        return self.model.from_published(arrays) if hasattr(self.model, "from_published") else arrays

    def load_state_dict(self, mapping: Any, strict: bool = True) -> Any:
        """As the model's."""
        return self.model.load_state_dict(mapping, strict)
