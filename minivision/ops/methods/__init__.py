"""torch.Tensor's names on a Tensor: the attributes and methods that models, lessons and users call; a file for each kind."""

from . import arrangement, conversion, elementwise, in_place, indexing, norms, operators, order, parts, products, reductions

__all__ = [
    "arrangement",
    "conversion",
    "elementwise",
    "in_place",
    "indexing",
    "norms",
    "operators",
    "order",
    "parts",
    "products",
    "reductions",
]
