"""torch's own functions: making tensors, joining them, and what is written torch.f(x) rather than x.f(); a file for each kind."""

from . import arrangement, creation, elementwise, indexing, linalg, products, random, reductions
from .arrangement import *
from .creation import *
from .elementwise import *
from .indexing import *
from .products import *
from .random import *
from .reductions import *

__all__: list[str] = []  # the sum of the files' own, so that minivision gets these names and no others
__all__ += arrangement.__all__
__all__ += creation.__all__
__all__ += elementwise.__all__
__all__ += indexing.__all__
__all__ += products.__all__
__all__ += random.__all__
__all__ += reductions.__all__
__all__ += ["linalg"]
