r"""
The price of seeing
===================

In :doc:`11_attention_cost` every pixel asked every other, at a price that grows with the square of the picture. What came after
ViT bargains over one question: *whom* may a pixel ask? Its row and its column, a window, a cross of stripes, its surroundings
finely and the rest coarsely. We build the five forms, derive what each costs, count it, and hold a clock beside it, for single
layers and for whole networks.

:Prerequisites: :doc:`08_vit`, :doc:`11_attention_cost`, :doc:`26_attention_before_vit`
"""

from dataclasses import replace
from functools import partial
from itertools import product
from time import thread_time
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn
from minivision.models import entry, swin, vit
from minivision.models.sasa import neighbourhoods
from minivision.models.shifted_windows import in_windows

mv.set_num_threads(1)  # processor time is measured below
rng = np.random.default_rng(0)

# %%
# One formula
# -----------
#
# Queries, keys and values of :math:`hw` pixels with :math:`C` channels are three products with :math:`C \times C` matrices, and
# one more mixes what the heads have read: :math:`4hwC^2` multiply-adds, in every form. For each pair of a query and a key there
# are :math:`C` more for the score, over all heads, and :math:`C` for the sum of values. So
#
# .. math:: \text{price} = 4hwC^2 + 2C \cdot \text{pairs} .
#
# =======  ================================================  ==========================  ==================================
# form     a pixel asks                                      pairs                       paper
# =======  ================================================  ==========================  ==================================
# global   all pixels                                        :math:`(hw)^2`              ViT, Dosovitskiy et al. 2021
# axial    its column by half of the heads, its row by half  :math:`hw(h + w)/2`         Ho et al. 2019 (by turns of layers)
# cross    the same in stripes :math:`s` pixels wide         :math:`hw\,s(h + w)/2`      CSWin, Dong et al. 2022
# window   the :math:`M \times M` pixels of its window       :math:`hw M^2`              Swin, Liu et al. 2021
# focal    its window, 132 around it, 49 means               :math:`hw(49 + 132 + 49)`   Focal, Yang et al. 2021
# =======  ================================================  ==========================  ==================================
#
# The first four are attention inside tiles: of :math:`h \times w`, of :math:`h \times s` and :math:`s \times w`, of
# :math:`M \times M`. With several sorts of tiles each has its share of the heads.

HEADS, M, S = 4, 7, 3


class Tiles(nn.Module):  # (B, H, W, C) -> the same; tiles(H, W) gives the sizes of the tiles
    def __init__(self, tiles, dim=64):
        super().__init__()
        self.tiles, self.qkv, self.proj = tiles, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        (B, H, W, C), tiles, read = x.shape, self.tiles(*x.shape[1:3]), []
        shares = self.qkv(x).reshape(B, H, W, 3, len(tiles), -1)
        for n, tile in enumerate(tiles):
            q, k, v = (self.heads(F.window_partition(shares[:, :, :, i, n], tile), len(tiles)) for i in range(3))
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)  # (tiles, pixels, heads, D)
            read.append(F.window_reverse(y.reshape(-1, *tile, C // len(tiles)), tile, (H, W)))
        return self.proj(np.concatenate(read, axis=-1))

    def heads(self, x, parts):  # (tiles, R, S, C / parts) -> (tiles, heads / parts, R S, D)
        return x.reshape(len(x), -1, HEADS // parts, x.shape[-1] * parts // HEADS).transpose(1, 2)


# %%
# Focal attention asks more than its own tile. The map is rolled four ways by 3 pixels, and of each rolled window those pixels
# count that the own one lacks: 33 (the four overlap a little, and at the border the roll wraps around, as in the authors'
# code). Then come the means of 7 x 7 windows, the own one in their middle, without those outside of the picture. A mean of keys
# is the key of the mean: it costs no product of its own (the authors learn the weights of the 49; here they are equal).

i, j = np.divmod(np.arange(M * M), M)
ROLLS = [((0, 0), np.full(M * M, True))]
ROLLS += [((a, b), ~((i + a >= 0) & (i + a < M) & (j + b >= 0) & (j + b < M))) for a, b in product((-3, 3), (-3, 3))]
assert [asked.sum() for _, asked in ROLLS] == [49, 33, 33, 33, 33]


class Focal(Tiles):
    def forward(self, x):
        B, H, W, C = x.shape
        q, k, v = self.qkv(x).reshape(B, H, W, 3, C).unbind(3)
        inside = neighbourhoods(np.ones((B, 1, H // M, W // M)), M, 1).reshape(-1, 1, 1, M * M) > 0
        mask = np.concatenate([np.ones((len(inside), 1, 1, 49 + 132), bool), inside], axis=-1)
        q = self.heads(F.window_partition(q, M), 1)
        y = F.scaled_dot_product_attention(q, self.asked(k), self.asked(v), attn_mask=mask).transpose(1, 2)
        return self.proj(F.window_reverse(y.reshape(-1, M, M, C), M, (H, W)))

    def asked(self, x):  # (B, H, W, C) -> (windows, heads, 49 + 132 + 49, D)
        fine = [F.window_partition(x, M, shift).flatten(1, 2)[:, asked] for shift, asked in ROLLS]
        means = neighbourhoods(F.avg_pool2d(x.permute(0, 3, 1, 2), M), M, 1)  # (B, 1, H / M, W / M, 49, C)
        return self.heads(np.concatenate([*fine, means.reshape(-1, M * M, x.shape[-1])], axis=1), 1)


FORMS = {"global": Tiles(lambda H, W: [(H, W)]), "axial": Tiles(lambda H, W: [(H, 1), (1, W)]),
         "cross": Tiles(lambda H, W: [(H, S), (S, W)]), "window": Tiles(lambda H, W: [(M, M)]),
         "focal": Focal(None)}  # fmt: skip
PAIRS = {"global": lambda h, w: (h * w) ** 2, "axial": lambda h, w: h * w * (h + w) // 2, "window": lambda h, w: h * w * M**2,
         "cross": lambda h, w: h * w * S * (h + w) // 2, "focal": lambda h, w: h * w * (49 + 132 + 49)}  # fmt: skip

# %%
# Are they what they should be? Tiles are global attention under a mask that leaves the pairs of one tile. Swin's own layer,
# without its bias, is one form of tiles, and ViT's another. Focal attention is held to loops, for two pixels.

H, W, C = 21, 42, 64
x, (row, column) = rng.standard_normal((1, H, W, C)), np.divmod(np.arange(H * W), W)
for name, form in FORMS.items():
    weights = {key: value.numpy() for key, value in form.double().named_parameters()}
    q, k, v = np.split(x.reshape(H * W, C) @ weights["qkv.weight"].T + weights["qkv.bias"], 3, axis=1)
    heads = [np.s_[:, h * C // HEADS : (h + 1) * C // HEADS] for h in range(HEADS)]
    pixels, read = np.arange(H * W) if name != "focal" else np.array([3 * W + 5, 10 * W + 17]), []
    if name == "focal":
        means = [each.reshape(H // M, M, W // M, M, C).mean((1, 3)) for each in (k, v)]
        for n in pixels:
            top, left = row[n] // M * M, column[n] // M * M
            own = [(top + i, left + j) for i, j in np.ndindex(M, M)]
            rolled = [(r + a, c + b) for a, b in product((-3, 3), (-3, 3)) for r, c in own]
            fine = [r % H * W + c % W for r, c in own + [place for place in rolled if place not in own]]
            cells = [(top // M + i - 3, left // M + j - 3) for i, j in np.ndindex(M, M)]
            cells = tuple(np.transpose([(r, c) for r, c in cells if 0 <= r < H // M and 0 <= c < W // M]))
            keys, values = np.vstack([k[fine], means[0][cells]]), np.vstack([v[fine], means[1][cells]])
            read.append(np.hstack([F.softmax(q[[n]][h] @ keys[h].T / (C / HEADS) ** 0.5) @ values[h] for h in heads])[0])
    else:
        numbers = [row // R * W + column // Q for R, Q in form.tiles(H, W)]
        masks = [number[:, None] == number for number in numbers for _ in range(HEADS // len(numbers))]
        assert sum(mask.sum() for mask in masks) == HEADS * PAIRS[name](H, W)
        read = np.hstack([F.scaled_dot_product_attention(q[h], k[h], v[h], mask) for h, mask in zip(heads, masks, strict=True)])
    wanted = np.array(read) @ weights["proj.weight"].T + weights["proj.bias"]
    np.testing.assert_allclose(form(mv.tensor(x)).numpy().reshape(H * W, C)[pixels], wanted, rtol=1e-9, atol=1e-12)

windows = swin.WindowAttention(swin.SwinConfig(C, (1,), (HEADS,)), 0, (M, M)).double()
whole = vit.Attention(replace(entry("vit_digits").config, embed_dim=C, num_heads=HEADS)).double()
for name, theirs in ("window", windows), ("global", whole):
    theirs.load_state_dict({key: value.numpy() for key, value in FORMS[name].named_parameters()}, strict=False)
nn.init.zeros_(windows.relative_position_bias_table)
y, z = (FORMS[name](mv.tensor(x)).numpy() for name in ("window", "global"))
np.testing.assert_allclose(in_windows(windows, mv.tensor(x), (M, M), (0, 0)).numpy(), y, rtol=1e-9, atol=1e-12)
np.testing.assert_allclose(whole(mv.tensor(x).flatten(1, 2)).numpy(), z.reshape(1, H * W, C), rtol=1e-9, atol=1e-12)

# %%
# Whom the pixel at the red dot asks, by its gradient: dark one by one, light in means alone.

figure, axes = plt.subplots(1, 5, figsize=(7.5, 2), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for axis, (name, form) in zip(axes, FORMS.items(), strict=True):
    x = mv.tensor(rng.standard_normal((1, 63, 63, C)), requires_grad=True)
    form(x)[0, 30, 33].sum().backward()
    size = np.abs(x.grad.numpy()[0]).sum(-1)
    seen, alone = size > 0, size > (8 * np.median(size[size > 0]) if name == "focal" else 0)
    axis.imshow(seen + 1.0 * alone, cmap="Blues", vmin=0, vmax=2.8)
    axis.plot(33, 30, "r.", markersize=4)
    axis.set_title(f"{name}\n{alone.sum():,}" + (f" + {seen.sum() - alone.sum():,}" if name == "focal" else ""), fontsize=9)

# %%
# Counted
# -------
#
# The library counts every product of a forward pass. All five prices come out to the last multiply-add, on maps of any shape.
# For an image of 1024 x 1024 pixels in patches of 4 x 4:

for (name, form), (h, w) in product(FORMS.items(), [(21, 21), (21, 42), (84, 63)]):
    assert mv.profile(form.float(), (h, w, C)).macs == 4 * h * w * C**2 + 2 * C * PAIRS[name](h, w)
page = {name: 4 * 256**2 * C**2 + 2 * C * pairs(256, 256) for name, pairs in PAIRS.items()}
print(f"thousand million multiply-adds, {C} channels:", {name: f"{each / 1e9:.3g}" for name, each in page.items()})

# %%
# Timed
# -----
#
# On double logarithmic axes a power of the number of pixels is a line. We fit the exponent to what was counted, and to the time
# of one thread. Where :math:`4hwC^2` is not small beside the pairs, the counted exponent is below its limit, which is 2 for
# global attention, 1.5 for stripes through the whole map, and 1 for windows.


def measured(makers, sides, unit):  # makers: name -> side -> (a module, its input's shape) -> each name's exponents
    counted, spent = ({name: [] for name in makers} for _ in range(2))
    for side, (name, make) in product(sides, makers.items()):
        module, shape = make(side)
        run = partial(module, mv.tensor(rng.standard_normal((1, *shape), dtype=np.float32)))
        counted[name].append(mv.profile(module, shape).macs / 1e6)
        with mv.no_grad():
            spent[name].append(1e3 * min(repeat(run, timer=thread_time, number=1, repeat=3)))
    slopes, axes = {}, plt.subplots(1, 2, figsize=(7.5, 3.4), layout="constrained")[1]
    for name in makers:
        slopes[name] = [np.polyfit(2 * np.log(sides), np.log(values[name]), 1)[0] for values in (counted, spent)]
        for axis, values, slope in zip(axes, (counted, spent), slopes[name], strict=True):
            axis.loglog(sides, values[name], "o-", markersize=4, label=f"{name}: {slope:.2f}")
    for axis, label in zip(axes, ("million multiply-adds", "milliseconds"), strict=True):
        axis.set(xlabel=unit, ylabel=label)
        axis.set_xticks(sides, sides)
        axis.minorticks_off()
        axis.legend(fontsize=8, title="exponent of the pixels", title_fontsize=8)
    return slopes


makers = {name: lambda side, form=form: (form, (side, side, C)) for name, form in FORMS.items()}
slopes = measured(makers, (21, 42) if lesson.quick() else (21, 42, 84, 168), "side of the map")

# %%
# Whole networks: Swin and ViT of equal width and depth, in one stage on patches of 4 x 4.


def network(name, side, **options):
    return mv.create_model(name, embed_dim=96, num_classes=10, img_size=side, **options).eval(), (3, side, side)


VIT, SWIN = "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"
makers = {
    "ViT": partial(network, VIT, patch_size=4, depth=2, num_heads=3),
    "Swin": partial(network, SWIN, depths=(2,), num_heads=(3,)),
}
slopes |= measured(makers, (56, 112) if lesson.quick() else (56, 112, 224, 448), "side of the image")

# %%
# And as published, counted at twice the side:

macs = {(name, side): mv.profile(mv.create_model(name, img_size=side, num_classes=0), (3, side, side)).macs
        for name, side in product((VIT, SWIN), (224, 448))}  # fmt: skip
grown = [macs[name, 448] / macs[name, 224] for name in (VIT, SWIN)]
told = {name: f"{counted:.2f} counted, {spent:.2f} timed" for name, (counted, spent) in slopes.items()}
assert lesson.quick() or all(abs(counted - spent) < 0.35 for counted, spent in slopes.values())
lesson.claim("S1", f"both formulas to the last multiply-add on three maps. Exponents of the pixels: global {told['global']}; "
             f"windows {told['window']}; a ViT {told['ViT']}; a Swin of its width {told['Swin']}. From 224 to 448 pixels "
             f"ViT-Ti grows {grown[0]:.2f} times, Swin-T {grown[1]:g} times")  # fmt: skip
rows, columns, every = ((row[:, None] == row).sum(), (column[:, None] == column).sum(), (H * W) ** 2)
assert rows + columns == H * W * (H + W)
lesson.claim("A2", f"{rows + columns:,} pairs along both axes for {every:,} on {H} x {W}. Exponents of the pixels, with half "
             f"of the heads along each: {told['axial']}; global: {told['global']}")  # fmt: skip

# %%
# The clock follows the count in its growth, but not in every level: focal attention copies keys for each of its windows and
# waits for that, and on the smallest picture Swin's windows save products, but hardly time.
#
# Exercises
# ---------
#
# ``minivision exercise start ID``. ``window-reverse``: windows back in their places. ``swin-window-sizes``: none larger than
# its map, no shift where one window is all. ``product-shape``: how prices are counted without paying them.
