"""A model that suits the data."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from ..data import Dataset
from ..errors import DataError, about_settings
from ..models import create_model, entry


def build_model(name: str, dataset: Dataset, drop_path: float = 0.0) -> Any:
    """The named model for this data's channels, image size and classes, as far as its configuration has them.

    A configuration that nobody published also takes a patch size that suits the images. SettingError for an unknown
    name, or a configuration that these images do not fit.
    """
    channels, height, width = dataset.image_shape
    if height != width:
        hint = "folder:DIR?size=N scales and crops images to squares"
        raise DataError(f"{dataset.name}: models take square images, got {height} x {width}\n  hint: {hint}")
    with about_settings():
        found = entry(name)
    wanted: dict[str, Any] = {"in_chans": channels, "img_size": height, "num_classes": len(dataset.classes)}
    wanted["drop_path_rate"] = drop_path
    if found.params is None:
        wanted["patch_size"] = suitable_patch(height)
    accepted = {field.name for field in fields(found.config)}
    with about_settings(f"{name} does not fit {dataset.name}: "):
        return create_model(name, **{key: value for key, value in wanted.items() if key in accepted})


def suitable_patch(side: int) -> int:
    """The largest divisor of the side that is at most its square root: no fewer patches along a side than pixels in one."""
    return next(patch for patch in range(math.isqrt(side), 0, -1) if side % patch == 0)
