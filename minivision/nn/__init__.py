"""torch.nn's names: Module, its parameters and containers, and the layers that models share, a file for each kind."""

from . import init, utils
from .activation import *
from .container import ModuleDict, ModuleList, Sequential
from .conv import *
from .dropout import *
from .fuse import Folded, fuse
from .linear import *
from .loss import *
from .module import Handle, Module
from .normalization import *
from .padding import *
from .parameter import Parameter
from .pooling import *
from .unpooling import *
from .vision import *
