"""How much of its accuracy a network keeps when pictures are damaged: patches dropped or shuffled, textures swapped, shifts.

The evaluations of "Intriguing Properties of Vision Transformers" (Naseer, Ranasinghe, Khan, Hayat, Khan, Yang; NeurIPS 2021,
arXiv 2105.10497), for any network and Dataset. Pixels are damaged before they are standardised: what is dropped is black.
"""

from __future__ import annotations

from .cues import TEXTURES as TEXTURES
from .cues import conflicting_cues, cue_data, cue_pictures, shape_bias
from .curves import Curve, accuracy_curve, drop_curve, shift_curve, shuffle_curve
from .damage import (
    arrange_patches,
    attention_saliency,
    drop_patches,
    random_patches,
    salient_patches,
    shift_pictures,
    shuffle_patches,
)

__all__ = [
    "Curve", "accuracy_curve", "arrange_patches", "attention_saliency", "conflicting_cues", "cue_data", "cue_pictures",
    "drop_curve", "drop_patches", "random_patches", "salient_patches", "shape_bias", "shift_curve", "shift_pictures",
    "shuffle_curve", "shuffle_patches",
]  # fmt: skip
