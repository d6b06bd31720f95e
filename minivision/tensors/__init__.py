"""torch's own functions: making tensors, joining them, and what is written torch.f(x) rather than x.f(); a file for each kind."""

from .arrangement import *
from .creation import *
