"""A model that suits the data."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from ..data import Dataset
from ..errors import DataError, SettingError, about_settings
from ..models import create_model, entry


def build_model(name: str, dataset: Dataset, drop_path: float = 0.0, **more: Any) -> Any:
    """The named model for this data's channels, image size and classes, as far as its configuration has them.

    A configuration that nobody published takes a patch size that suits images of another size than its own; a masked image
    model has no classes, and its cells stay as many patches wide. more: other settings. SettingError for an unknown name, or a
    configuration that these images do not fit.
    """
    channels, height, width = dataset.image_shape
    if height != width:
        hint = "folder:DIR?size=N scales and crops images to squares"
        raise DataError(f"{dataset.name}: models take square images, got {height} x {width}\n  hint: {hint}")
    with about_settings():
        found = entry(name)
    config, masked = found.config, hasattr(found.config, "mask_ratio")
    wanted: dict[str, Any] = {"in_chans": channels, "img_size": height, "num_classes": 0 if masked else len(dataset.classes)}
    wanted |= {"drop_path_rate": drop_path, **more}
    if found.params is None and getattr(config, "img_size", None) != height:
        wanted["patch_size"] = suitable_patch(height)
        if hasattr(config, "mask_patch_size"):
            wanted["mask_patch_size"] = config.mask_patch_size // config.patch_size * wanted["patch_size"]
    accepted = {field.name for field in fields(found.config)}
    with about_settings(f"{name} does not fit {dataset.name}: "):
        return create_model(name, **{key: value for key, value in wanted.items() if key in accepted})


def check_classifier(name: str) -> None:
    """SettingError where a model is unknown, or has no classes that labels could teach."""
    with about_settings():
        found = entry(name)
    if not getattr(found.config, "num_classes", 0):
        masked = hasattr(found.config, "mask_ratio")
        hint = f"minivision pretrain {found.name}" if masked else "choose another model; `minivision models` lists them"
        raise SettingError(f"{found.name} has no classes, so labels cannot train it\n  hint: {hint}")


def suitable_patch(side: int) -> int:
    """The largest divisor of the side that is at most its square root: no fewer patches along a side than pixels in one."""
    return next(patch for patch in range(math.isqrt(side), 0, -1) if side % patch == 0)
