"""torch.nn.functional's names, argument order and meaning, over the operations; a file for each kind."""

from .activation import *
from .attention import *
from .convolution import *
from .dropout import *
from .linear import *
from .loss import *
from .normalization import *
from .pooling import *
from .sparse import *
