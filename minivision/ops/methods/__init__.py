"""torch.Tensor's names on a Tensor: the attributes and methods that models, lessons and users call; a file for each kind."""

from . import arrangement, conversion, in_place, products, reductions

__all__ = ["arrangement", "conversion", "in_place", "products", "reductions"]
