"""One file per paper. The files are imported when a model is first asked for."""

from ._backbone import FeatureInfo
from ._features import FeatureMaps
from ._registry import Entry, create_model, entry, list_models, register

__all__ = ["Entry", "FeatureInfo", "FeatureMaps", "create_model", "entry", "list_models", "register"]
