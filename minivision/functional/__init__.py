"""torch.nn.functional's names, argument order and meaning, over the operations; a file for each kind."""

from .activation import *
from .attention import *
from .boxes import *
from .convolution import *
from .ctc import *
from .deform_conv import *
from .distance import *
from .dropout import *
from .grid import *
from .interpolate import *
from .linear import *
from .loss import *
from .normalization import *
from .pad import *
from .pixel_shuffle import *
from .pooling import *
from .roi import *
from .sparse import *
from .unpooling import *
from .windows import *
