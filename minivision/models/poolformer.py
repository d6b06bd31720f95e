"""MetaFormer is Actually What You Need for Vision (PoolFormer).

Yu, Luo, Zhou, Si, Zhou, Wang, Feng, Yan. CVPR 2022, arXiv 2111.11418.

A Transformer's block with the attention left open is a MetaFormer: something mixes the tokens, then an MLP the channels, each
after a norm and beside a shortcut. The paper's claim is that this structure does the work. Its PoolFormer mixes by the mean of
3 x 3 neighbours, which has nothing to learn, and with a random matrix or none at all the network still learns.

Names and keys are timm's; `from_published` also takes the official ones (sail-sg/poolformer). Deviations: poolformer_* have
timm's head, which pools, then norms; head="official" norms the map, then pools, so that the official logits come out. Means
at the border are of the pixels inside, as in both codes, where eq. 4 divides by K^2 everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._backbone import Backbone, FeatureInfo
from ._registry import register
from .metaformer import MetaFormer, MetaFormerConfig
from .token_mixers import ANY_SIZE

S12, S24, S36 = (2, 2, 6, 2), (4, 4, 12, 4), (6, 6, 18, 6)
WIDE = (96, 192, 384, 768)  # M: dims


class PoolFormer(MetaFormer, Backbone):
    """Section 3.2: the MetaFormer that pools, or does nothing, takes images of any size, and gives its maps."""

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        first = self.config.stem[1]
        return [FeatureInfo(f"stages.{i}", dim, first << i) for i, dim in enumerate(self.config.dims)]

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The map after each stage, while they are computed."""
        return self.maps_along(self.stem(x), self.stages, "stages.")


LETTERS = {"p": "pooling", "a": "attention", "f": "spatial_fc", "i": "identity"}


def hybrid(mixers: str, norm: str = "group") -> MetaFormerConfig:
    """Table 5: S12 with other mixers, in the official order of the head."""
    return MetaFormerConfig(S12, token_mixers=tuple(LETTERS[each] for each in mixers), norm=norm, head="official")


def digits(token_mixer: str) -> MetaFormerConfig:
    """Two stages on images of 8 x 8."""
    return MetaFormerConfig(
        (2, 2), (32, 64), token_mixer, stem=(3, 1, 1), layer_scale_init=0.1, head_dim=16, img_size=8, in_chans=1, num_classes=10
    )


@register("poolformer_s12", MetaFormerConfig(S12), params=11_915_176, macs=1_812_267_008)
@register("poolformer_s24", MetaFormerConfig(S24), params=21_388_968, macs=3_392_208_896)
@register("poolformer_s36", MetaFormerConfig(S36, layer_scale_init=1e-6), params=30_862_760, macs=4_972_150_784)
@register("poolformer_m36", MetaFormerConfig(S36, WIDE, layer_scale_init=1e-6), params=56_172_520, macs=8_758_788_096)
@register("metaformer_id_s12", hybrid("iiii"), params=11_915_176, macs=1_812_267_008)
@register("metaformer_pppa_s12_224", hybrid("pppa", "channel"), params=14_038_440, macs=1_919_944_704)
@register("metaformer_ppaa_s12_224", hybrid("ppaa", "channel"), params=16_535_592, macs=2_549_151_744)
@register("metaformer_pppf_s12_224", hybrid("pppf"), params=11_919_978, macs=1_814_725_632)
@register("metaformer_ppff_s12_224", hybrid("ppff"), params=12_150_474, macs=1_888_484_352)
@register("poolformer_digits", digits("pooling"))
@register("metaformer_identity_digits", digits("identity"))
@register("metaformer_attention_digits", digits("attention"))
@register("metaformer_spatial_fc_digits", digits("spatial_fc"))
@register("metaformer_spatial_mlp_digits", digits("spatial_mlp"))
@register("metaformer_random_digits", digits("random"))
def build(config: MetaFormerConfig) -> MetaFormer:
    """A MetaFormer of the given configuration: one that gives its maps, where the mixers take any size."""
    return PoolFormer(config) if ANY_SIZE.issuperset(config.mixers) else MetaFormer(config)
