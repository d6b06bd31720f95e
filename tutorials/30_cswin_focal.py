r"""
Farther for less: CSWin and Focal
=================================

Attention in windows is cheap because it is blind: a patch sees 7 x 7 of 56 x 56 patches, and nothing else. Two papers of July
2021 give a *single* layer a view across the image at nearly that price. CSWin (Dong et al. 2022) looks along a cross. The Focal
Transformer (Yang et al. 2021) looks at what is near patch by patch, and at what is far window by window. What do they see?

:Prerequisites: :doc:`05_attention`, :doc:`11_attention_cost`
"""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from sklearn.datasets import load_sample_images

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim
from minivision.models import cswin, focal
from minivision.models.focal_attention import keys_of, margin

mv.set_num_threads(1)  # so small networks are not worth a second thread
rng = np.random.default_rng(0)

# %%
# What one patch sees
# -------------------
#
# A patch depends on another where its gradient with respect to it is not zero. Three blocks on 56 x 56 patches: windows of 7, a
# cross of stripes of 7, focal attention. Half of CSWin's heads attend in vertical stripes of :math:`H \times sw` patches, half
# in horizontal ones of :math:`sw \times W`; the square where they meet counted once, :math:`sw\,(H + W - sw)` patches.


def focal_block(region, expand):  # 8 channels, 2 heads, windows of 7; region 7 pools 7 x 7 windows, 0 none
    sizes = {"embed_dim": 8, "depths": (1,), "num_heads": (2,), "focal_windows": (region,), "expand_size": expand}
    return focal.Block(focal.FocalConfig(**sizes), 0, 0.0).double()


def seen(layer, side, at):  # -> (side, side): which patches `at` depends on; a score of -100 leaves less than exp(-80)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = mv.tensor(rng.standard_normal((1, side, side, 8)), requires_grad=True)
    layer(x)[0, at[0], at[1]].sum().backward()
    return np.abs(x.grad.numpy()[0]).max(-1) > np.exp(-80)


cross_block = partial(cswin.Block, 8, 2, mlp_ratio=4.0, qkv_bias=True, drop_path=0.0)  # a width follows
at, both, cross = (30, 24), focal_block(7, 3), cross_block(7).double()
views = [seen(layer, 56, at) for layer in (focal_block(0, 0), cross, both, focal_block(0, 3))]  # the last without pooling
assert [view.sum() for view in views] == [7 * 7, 7 * (56 + 56 - 7), 49 * 49, 13 * 13]
photo = load_sample_images().images[0][100:324, 250:474] / 255.0  # 224 x 224 pixels
pooled = photo.reshape(8, 28, 8, 28, 3).mean((1, 3)).repeat(28, 0).repeat(28, 1)  # a colour for each window
window, stripes, region, fine = (view.repeat(4, 0).repeat(4, 1)[..., None] for view in views)
shown = {"the photograph": photo, "a window of 7 (Swin)": np.where(window, photo, 0.12)}
shown["a cross of 7 (CSWin)"] = np.where(stripes, photo, 0.12)
shown["focal: near, and far"] = np.where(fine, photo, np.where(region, pooled, 0.12))
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.3), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for axis, (title, picture) in zip(axes, shown.items(), strict=True):
    axis.imshow(picture)
    axis.plot(4 * at[1] + 2, 4 * at[0] + 2, "r.", markersize=7)
    axis.set_title(title, fontsize=9)
figure.suptitle("What one block lets the patch at the red dot see", fontsize=11)

# %%
# CSWin-T's stripes are 1, 2 and 7 patches wide on maps of 56, 28 and 14; its last stage sees its whole map of 7. A second block
# turns the cross into everything, even at a width of 1: the row of one patch crosses the column of every other.

exact = []
for side, sw in ((56, 1), (28, 2), (14, 7)):
    i, j = (np.arange(side) // sw == n // sw for n in (side // 3, side // 2))
    layers = (nn.Sequential(*(cross_block(sw).double() for _ in range(depth))) for depth in (1, 2))
    one, two = (seen(each, side, (side // 3, side // 2)) for each in layers)
    exact += [np.array_equal(one, i[:, None] | j), two.all()]

# %%
# Positions that act on the values
# --------------------------------
#
# Attention does not know where a patch lies. Swin adds a number to the score of each displacement. CSWin adds a convolution of
# the values to what attention returns: inside of every stripe, with zeros beyond its border. Here for one head:
#
# .. math:: y = \operatorname{softmax}\big(q k^\top / \sqrt{D}\big)\, v + \operatorname{DWConv}_{3 \times 3}(v) .


def attended(q, k, v, bias=0.0):  # (.., M, D), (.., N, D), (.., N, D) -> (.., M, D)
    e = np.exp(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + bias)
    return e @ v / e.sum(-1, keepdims=True)


def in_stripes(q, k, v, h, w, kernel, bias):  # q, k, v (H, W, D), kernel (D, 1, 3, 3), bias (D) -> (H, W, D)
    y = np.empty_like(v)
    for top, left in np.ndindex(v.shape[0] // h, v.shape[1] // w):
        cut = slice(top * h, (top + 1) * h), slice(left * w, (left + 1) * w)
        around = np.pad(v[cut], ((1, 1), (1, 1), (0, 0)))
        positions = sum(kernel[:, 0, a, b] * around[a : a + h, b : b + w] for a, b in np.ndindex(3, 3)) + bias
        y[cut] = attended(*(each[cut].reshape(h * w, -1) for each in (q, k, v))).reshape(h, w, -1) + positions
    return y


x = mv.tensor(rng.standard_normal((1, 14, 14, 8)))
halves = np.split(cross.qkv(x).numpy()[0], 6, axis=-1)  # q, q, k, k, v, v: of the first head and of the second
first = in_stripes(*halves[::2], 14, 7, *(parameter.numpy() for parameter in cross.attns[0].parameters()))
second = in_stripes(*halves[1::2], 7, 14, *(parameter.numpy() for parameter in cross.attns[1].parameters()))
mine = cross.proj(mv.tensor(np.concatenate([first, second], -1))).numpy()
np.testing.assert_allclose(cross.attention(x).numpy()[0], mine, rtol=1e-9, atol=1e-12)

# %%
# Positions act on the values alone: with other queries and keys, what the convolution adds is the same. The stem is a
# convolution whose kernel is larger than its stride, so that patches overlap, where Swin's lie side by side.

attend, qkv = cross.attns[0], rng.standard_normal((2, 14, 14, 12))
qkv[1, ..., 8:] = qkv[0, ..., 8:]  # other queries and keys, the same values
y = attend(mv.tensor(qkv), (14, 7)).numpy()
for parameter in attend.parameters():
    nn.init.zeros_(parameter)
added = y - attend(mv.tensor(qkv), (14, 7)).numpy()
apart = np.abs(added[0] - added[1]).max() / np.abs(added).max()
stem = mv.create_model("cswin_tiny_224").stage1_conv_embed[0]
overlap = (stem.kernel_size[0] / stem.stride[0]) ** 2  # so many patches read a pixel, on average
lesson.claim(
    "S7",
    f"on maps of 56, 28 and 14 a block sees its cross and no patch more, two see all; with other queries and keys, what "
    f"positions add changes by {apart:.0e} of itself; the stem reads {stem.kernel_size[0]} x {stem.kernel_size[1]} pixels "
    f"every {stem.stride[0]}, a pixel {overlap:.2f} times on average",
    "holds" if all(exact) and apart < 1e-12 and overlap > 1 and stem.stride == (4, 4) else "does not hold here",
)

# %%
# Finely near, coarsely far
# -------------------------
#
# Focal attention pools each window to one token, a weighted sum of its patches with one weight a place for all channels. The
# keys of a query are the 49 patches of its window, a margin of 3 around it, and :math:`f \times f` pooled windows. The margin
# comes from 4 maps rolled by :math:`(\pm 3, \pm 3)`, :math:`7^2 - 4^2` new patches of each. It has :math:`13^2 - 7^2` places:
# some come twice.

assert (len(margin(7, 3)), len(np.unique(margin(7, 3), axis=0))) == (4 * (49 - 16), 13**2 - 49)
for side, e, f in ((56, 3, 7), (28, 3, 5), (14, 3, 3), (7, 0, 1)):  # Focal-T's four stages
    index, outside = keys_of((side // 7, side // 7), 7, e, f)
    assert index.shape[1] == 49 + len(margin(7, e)) + f * f
    print(f"{side} x {side} patches: {index.shape[1]} keys a query")
names, colours = zip(("not seen", "#eeeeee"), ("one key a window", "#9ecae1"), ("its own window", "#d94801"),
                     ("margin", "#fdae6b"), ("margin, two keys", "#7f2704"), strict=True)  # fmt: skip
index, outside = keys_of((8, 8), 7, 3, 5)  # a region of 5 x 5 windows, so that on this map some are far
figure, axes = plt.subplots(1, 2, figsize=(7.2, 4.2), layout="constrained")
for axis, number in zip(axes, (4 * 8 + 3, 0), strict=True):
    times, far = np.bincount(index[number, :181], minlength=3136), index[number, 181:][~outside[number, 181:]] - 3136
    level = np.where(times, 2 + times, np.isin(np.arange(64), far).repeat(49)).reshape(64, 49)  # window by window
    level[number] = 2
    axis.imshow(level.reshape(8, 8, 7, 7).swapaxes(1, 2).reshape(56, 56), cmap=ListedColormap(colours))
    axis.set(xticks=np.arange(6.5, 55, 7), yticks=np.arange(6.5, 55, 7), xticklabels=[], yticklabels=[])
    axis.set_title(f"the query's window: row {number // 8}, column {number % 8}", fontsize=10)
    axis.grid(color="white")
handles = [plt.Rectangle((0, 0), 1, 1, color=colour, label=name) for name, colour in zip(names, colours, strict=True)]
figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=8, columnspacing=1)
figure.suptitle("The keys of one window's queries. In a corner, the margin wraps around the map", fontsize=11)

# %%
# The right picture is how the authors' code works, and so the library: a rolled map has no border. By hand, for one window:

x, pool, (index, outside) = rng.standard_normal((56, 56, 8)), both.pool_layers[0], keys_of((8, 8), 7, 3, 7)
windows = x.reshape(8, 7, 8, 7, 8).swapaxes(1, 2).reshape(64, 49, 8)
coarse = np.einsum("nic,i->nc", windows, pool.weight.numpy()[0]) + pool.bias.item()
tokens = np.concatenate([windows.reshape(-1, 8), coarse])[index[5][~outside[5]]]  # of the sixth window: (K, C)
q, k, v = np.split(both.attn.qkv(mv.tensor(tokens)).numpy().reshape(-1, 6, 4).swapaxes(0, 1), 3)  # (heads, K, D)
mine = attended(q[:, :49], k, v, both.attn.bias().numpy()[..., ~outside[5]])
mine = both.attn.proj(mv.tensor(mine.swapaxes(0, 1).reshape(7, 7, 8))).numpy()
np.testing.assert_allclose(both.attention(mv.tensor(x[None])).numpy()[0, :7, 35:42], mine, rtol=1e-9, atol=1e-12)

# %%
# What does it cost? :math:`hw` queries of :math:`K` keys take :math:`2K\,hwC` multiply-adds, besides :math:`4\,hwC^2` for four
# matrices. In a cross :math:`K` is :math:`sw\,H` for one half and :math:`sw\,W` for the other, which makes the paper's
# :math:`HWC(4C + sw H + sw W)`. In focal attention it is a constant, and the cost grows with the area alone.

for side in (28, 56, 112):
    hw, rest = side**2, 12 * 8  # C = 8: four matrices for attention, eight for the two layers after it
    assert mv.profile(cross.float(), (side, side, 8)).macs == hw * 8 * (rest + 7 * side + 7 * side + 9)  # and LePE
    assert mv.profile(both.float(), (side, side, 8)).macs == hw * 8 * (rest + 2 * 230 + 1) + hw // 49 * 3 * 8 * 8  # and pooling

# %%
# Two questions
# -------------
#
# A picture of 16 x 16 has a random texture of light and dark and a square of 6 x 6, red or blue. A pixel is asked what is near,
# *is the pixel two to the right light?*, and what is far, *is the square red?*, if the square is outside its window and margin.
# One block answers, with windows of 4, with and without a margin of 2 and pooled windows. Without those, the second answer must
# be a guess; in the window alone, so must the first where the next window begins in between. Training cannot change that.

SIDE, SEEDS, STEPS = 16, *((1, 5) if lesson.quick() else (3, 160))
WAYS = {"window": (0, 0), "and margin": (0, 2), "and pooled windows": (7, 0), "both: focal": (7, 2)}


def pictures(count, rng):  # -> (N, 3, 16, 16), answers (N, 2, 16, 16), who is asked (N, 1, 16, 16)
    light, red, along = rng.integers(2, size=(count, SIDE, SIDE)), rng.integers(2, size=(count, 1, 1)), np.arange(SIDE)
    lines = [(along - corner[:, None]) % SIDE < 6 for corner in rng.integers(SIDE, size=(2, count))]
    square = lines[0][:, :, None] & lines[1][:, None]
    field = (along - along[:, None] // 4 * 4 + 2) % SIDE < 8  # (i, j): line j is in i's window or margin
    rows, columns = ((line[:, None] & field).any(-1) for line in lines)
    asked = ~(rows[:, :, None] & columns[:, None]) & (along < SIDE - 2)
    x = np.stack([2 * light - 1, square, square * (2 * red - 1)], 1)
    return x.astype(np.float32), np.stack([np.roll(light, -2, 2), red + 0 * light], 1).astype(np.float32), asked[:, None]


def trained(region, expand, seed):  # -> the shares of right answers to both questions, on pictures that it never saw
    mv.manual_seed(seed)
    sizes = {"depths": (1,), "num_heads": (8,), "window_size": 4, "expand_size": expand, "focal_windows": (region,)}
    model, rng = mv.create_model("focal_digits", **sizes, img_size=SIDE, in_chans=3), np.random.default_rng(seed)
    model.head = nn.Conv2d(32, 2, 1)  # two answers for each pixel
    for layer in model.layers[0]["blocks"][0].pool_layers:
        nn.init.constant_(layer.weight, 1 / 16)  # a mean, to begin with
    groups = [{"params": [p for name, p in model.named_parameters() if ("table" in name) == table]} for table in (False, True)]
    optimizer = optim.AdamW(groups, weight_decay=0.0)
    for step in range(STEPS):
        for group, rate in zip(optimizer.param_groups, (1e-2, 3e-2), strict=True):  # biases of places may move faster
            group["lr"] = rate * min(1, (step + 1) / 10) * (1 - step / STEPS)
        x, answers, asked = pictures(8, rng)
        losses = F.binary_cross_entropy_with_logits(model.head(model.forward_features(mv.tensor(x))), answers, reduction="none")
        optimizer.zero_grad()
        (losses * mv.tensor(np.float32(asked / asked.sum()))).sum().backward()
        optimizer.step()
    x, answers, asked = pictures(100, np.random.default_rng(1000 + seed))
    right = (model.head(model.forward_features(mv.tensor(x))).numpy() > 0) == answers
    return [right[:, question][asked[:, 0]].mean() for question in (0, 1)]


runs = {name: np.array([trained(*way, seed) for seed in range(SEEDS)]) for name, way in WAYS.items()}
ceiling = [0.5 + np.mean(np.arange(SIDE - 2) % 4 < 2) / 2, 0.5]  # near: what is asked lies in the window, or is guessed
figure, axis = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for question, label in enumerate(("near: the pixel two to the right", "far: the colour of the square")):
    for i, (name, found) in enumerate(runs.items()):
        place, share = i + 0.4 * question - 0.2, found[:, question]
        print(f"{label.split(':')[0]}, {name}: {share.mean():.3f} +- {share.std():.3f}")
        axis.bar(place, share.mean(), 0.36, color=f"C{question}", label=None if i else label)
        axis.plot([place] * SEEDS, share, "k.", markersize=5)
    axis.axhline(ceiling[question], color=f"C{question}", linestyle="--", linewidth=1)
axis.set(xticks=range(4), xticklabels=runs, ylabel="right answers (a dot: a seed)", ylim=(0, 1.25))
axis.set_title("Dashed: the most that a window can know", fontsize=10)
axis.legend(fontsize=9, ncols=2)
assert lesson.quick() or (runs["both: focal"].min() > 0.95 and np.abs(runs["window"] - ceiling).max() < 0.06)

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``cswin-halves``: whose channels look down and whose across. ``cswin-lepe``:
# attention in a stripe, and what positions add. ``focal-margin``: the frame around a window, by four rolls. ``focal-pooled``: a
# window as one token. ``focal-displacements``: which bias belongs to a patch and a pooled window.
