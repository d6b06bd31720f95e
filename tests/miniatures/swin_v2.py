"""Swin v2, small."""

from minivision.models.swin_v2 import SwinV2Config

from . import Miniature
from .swin import smaller

MINIATURES = {SwinV2Config: Miniature(smaller)}
