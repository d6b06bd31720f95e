"""torch.nn.utils's names: what changes a module that is already built, and what calls one with other parameters."""

from .stateless import functional_call
from .weight_norm import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm

__all__ = ["functional_call", "remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]
