"""An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale.

Dosovitskiy, Beyer, Kolesnikov, Weissenborn, Zhai, Unterthiner, Dehghani, Minderer, Heigold, Gelly, Uszkoreit, Houlsby.
ICLR 2021, arXiv 2010.11929.

An image is cut into patches and each patch is mapped to a token by one matrix. A plain Transformer encoder then reads
the tokens; only the cut and the learned position embeddings know that they came from an image.

DeiT (Touvron et al., ICML 2021, arXiv 2012.12877) is this network at two smaller widths, trained with heavy augmentation;
deit.py adds the distillation token.

Deviations, as in the weights the field downloads (timm's names and keys): one linear layer as head in pre-training too;
dropout before the head only; stochastic depth (Huang et al. 2016), which the paper has not; with average pooling
(appendix D.3) the last LayerNorm comes after the pooling and is called fc_norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from .. import nn
from ..recording import no_grad
from ..tape import Tensor
from ._backbone import Images, check_images, initialise
from ._registry import register
from ._resize import can_resize, resize_positions


class PatchEmbed(nn.Module):
    """Section 3.1, eq. 1: patches x_p of P x P x C numbers, each times E (P P C, D).

    A convolution of kernel and stride P does both: its weight (D, C, P, P) is E.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.image = config.input_shape
        self.proj = nn.Conv2d(config.in_chans, config.embed_dim, config.patch_size, stride=config.patch_size)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, N, D),  N = H W / P^2"""
        check_images("patch_embed", x, self.image, "(H, W)")
        x = self.proj(x)  # (B, D, H/P, W/P)
        return x.flatten(2).transpose(1, 2)  # (B, N, D)


class Attention(nn.Module):
    """Appendix A: multi-head self-attention. D_h = D / heads."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)  # U_qkv of all heads
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)  # U_msa

    def heads(self, x: Any) -> Any:
        """Eq. 5: [q, k, v] = z U_qkv for every head.  (B, N, D) -> three of (B, heads, N, D_h)"""
        B, N, D = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, D // self.num_heads)  # (B, N, 3, heads, D_h)
        return qkv.permute(2, 0, 3, 1, 4).unbind(0)  # 3 x (B, heads, N, D_h)

    def forward(self, x: Any) -> Any:
        """Eq. 6-8: A = softmax(q k^T / sqrt(D_h)), SA = A v, MSA = [SA_1 ... SA_heads] U_msa.  (B, N, D) -> the same"""
        x = F.scaled_dot_product_attention(*self.heads(x))  # (B, heads, N, D_h)
        x = x.transpose(1, 2).flatten(2)  # (B, N, D)
        return self.proj(x)

    def weights(self, x: Any) -> Any:
        """Eq. 6 alone: A, whose rows sum to 1.  (B, N, D) -> (B, heads, N, N)"""
        q, k, _ = self.heads(x)
        return F.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, dim=-1)  # (B, heads, N, N)


class Mlp(nn.Module):
    """Section 3.1: two layers with a GELU between them."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        hidden = int(config.embed_dim * config.mlp_ratio)
        self.fc1 = nn.Linear(config.embed_dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, config.embed_dim)

    def forward(self, x: Any) -> Any:
        """(B, N, D) -> the same"""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Eq. 2-3: z' = MSA(LN(z)) + z,  z = MLP(LN(z')) + z'; in training each branch may be left out (drop path)."""

    def __init__(self, config: ViTConfig, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.mlp = Mlp(config)
        self.drop_path = nn.DropPath(drop_path)

    def forward(self, x: Any) -> Any:
        """(B, N, D) -> the same"""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class VisionTransformer(nn.Module):
    """Section 3.1: images (B, C, H, W) -> logits (B, num_classes)."""

    prefix: ClassVar[int] = 1  # tokens before the patches
    embedding: ClassVar[Any] = PatchEmbed
    block: ClassVar[Any] = Block

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        D, pools = config.embed_dim, config.global_pool == "avg"
        rates = np.linspace(0.0, config.drop_path_rate, config.depth).tolist()  # deeper blocks are left out more often
        self.cls_token = nn.Parameter((1, 1, D), nn.init.normal(std=1e-6))
        self.pos_embed = nn.Parameter((1, 1 + config.grid[0] * config.grid[1], D), nn.init.trunc_normal(std=0.02))
        self.patch_embed = self.embedding(config)
        self.blocks = nn.Sequential(*(self.block(config, rate) for rate in rates))
        self.norm = nn.Identity() if pools else nn.LayerNorm(D, eps=1e-6)
        self.fc_norm = nn.LayerNorm(D, eps=1e-6) if pools else nn.Identity()
        self.head_drop = nn.Dropout(config.drop_rate)
        self.head = nn.Linear(D, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(initialise)

    def embed(self, x: Any) -> Any:
        """Eq. 1: z_0 = [x_class; x_p^1 E; ...; x_p^N E] + E_pos.  (B, C, H, W) -> (B, 1 + N, D)"""
        patches = self.patch_embed(x)  # (B, N, D)
        first = self.cls_token.expand(patches.shape[0], -1, -1)  # (B, 1, D)
        return np.concatenate([first, patches], axis=1) + self.pos_embed  # (B, 1 + N, D)

    def forward_features(self, x: Any) -> Any:
        """Eq. 1-3, and the LayerNorm of eq. 4 on every token.  (B, C, H, W) -> (B, 1 + N, D)"""
        return self.norm(self.blocks(self.embed(x)))

    def forward_head(self, x: Any, pre_logits: bool = False) -> Any:
        """Eq. 4: y = LN(z_L^0), or the mean of the patch tokens, and the head.  (B, 1 + N, D) -> (B, num_classes)

        pre_logits, or a model without classes: the (B, D) before the head.
        """
        x = x[:, 1:].mean(1) if self.config.global_pool == "avg" else x[:, 0]  # (B, D)
        x = self.head_drop(self.fc_norm(x))
        return x if pre_logits else self.head(x)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, num_classes)"""
        return self.forward_head(self.forward_features(x))

    @no_grad()
    def attention_maps(self, x: Any) -> list[np.ndarray]:
        """A of eq. 6 for every block, (B, heads, 1 + N, 1 + N): row i says where token i looks. Computed anew, for pictures."""
        x, maps = self.embed(x), []
        for block in self.blocks:
            maps.append(block.attn.weights(block.norm1(x)).numpy())
            x = block(x)
        return maps

    def load_state_dict(self, mapping: Mapping[str, Any], strict: bool = True) -> Any:
        """As Module.load_state_dict; position embeddings of another resolution are resized to this one (section 3.2)."""
        found = mapping.get("pos_embed")
        table = np.asarray(found.data if isinstance(found, Tensor) else found)
        if table.shape != self.pos_embed.shape and can_resize(table, self.pos_embed.shape, self.prefix):
            mapping = {**mapping, "pos_embed": resize_positions(table, self.config.grid, self.prefix)}
        return super().load_state_dict(mapping, strict)


@dataclass(frozen=True)
class ViTConfig(Images):
    """Table 1's columns and what a user may change.

    img_size: one number, or (H, W); num_classes: 0 for no head; global_pool: "token" or "avg"; drop_rate: dropout before
    the head; drop_path_rate: the chance of leaving out a branch of the last block, growing linearly from 0 at the first.
    """

    embed_dim: int
    depth: int
    num_heads: int
    patch_size: int = 16
    img_size: int | tuple[int, int] = 224
    in_chans: int = 3
    num_classes: int = 1000
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    global_pool: str = "token"
    drop_rate: float = 0.0
    drop_path_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} must be a multiple of num_heads {self.num_heads}")
        if any(size % self.patch_size or not size for size in self.input_shape[1:]):
            raise ValueError(f"img_size {self.img_size} must be a positive multiple of patch_size {self.patch_size}")
        if self.global_pool not in ("token", "avg"):
            raise ValueError(f'global_pool is "token" or "avg", got {self.global_pool!r}')

    @property
    def grid(self) -> tuple[int, int]:
        """How many patches there are from top to bottom and from left to right."""
        _, height, width = self.input_shape
        return height // self.patch_size, width // self.patch_size


@register("vit_tiny_patch16_224", ViTConfig(192, 12, 3), params=5_717_416, macs=1_253_683_200)
@register("vit_small_patch16_224", ViTConfig(384, 12, 6), params=22_050_664, macs=4_598_882_304)
@register("vit_base_patch16_224", ViTConfig(768, 12, 12), params=86_567_656, macs=17_563_828_224)
@register("vit_large_patch16_224", ViTConfig(1024, 24, 16), params=304_326_632, macs=61_554_712_576)
@register("vit_base_patch32_224", ViTConfig(768, 12, 12, patch_size=32), params=88_224_232, macs=4_409_186_304)
@register("deit_tiny_patch16_224", ViTConfig(192, 12, 3), params=5_717_416, macs=1_253_683_200)
@register("deit_small_patch16_224", ViTConfig(384, 12, 6), params=22_050_664, macs=4_598_882_304)
@register("deit_base_patch16_224", ViTConfig(768, 12, 12), params=86_567_656, macs=17_563_828_224)
@register("vit_digits", ViTConfig(64, 4, 4, patch_size=2, img_size=8, in_chans=1, num_classes=10), alias="vit")
def build(config: ViTConfig) -> VisionTransformer:
    """A ViT of the given configuration."""
    return VisionTransformer(config)
