r"""
One path from each to each
==========================

With four million multiply-adds a network has room for a few dozen dense channels, or for hundreds that are sparsely connected.
How sparse can a 1 x 1 convolution be, if each output is still to hear of each input? MicroNet's answer can be counted on paths.
We count them, see what the factors make of a matrix, and mix groups once more by weights that depend on the picture.

:Prerequisites: :doc:`19_shufflenet`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn
from minivision.models.shift_max import ShiftMax, partners

rng = np.random.default_rng(0)

# %%
# Two thin matrices in groups
# ---------------------------
#
# A 1 x 1 convolution is a matrix :math:`W`, :math:`C \times C`, applied at each pixel: :math:`C^2` multiply-adds. Factorise it,
# :math:`W = P \Phi Q^\top`: :math:`Q^\top` squeezes :math:`C` channels to :math:`C/R`, :math:`P` expands them again, both in
# :math:`G` groups, so both block-diagonal; the permutation :math:`\Phi` between is the shuffle (Li et al. 2021, section 3.1).
#
# - **Cost.** Each block of :math:`Q^\top` is :math:`C/(RG) \times C/G`, and there are :math:`G` of them; as much for :math:`P`:
#
#   .. math:: O = \frac{2 C^2}{R G} .
#
# - **Paths.** An input reaches the :math:`C/(RG)` inner channels of its group. The shuffle deals them out evenly to :math:`G`
#   groups, so that each group gets :math:`C/(RG^2)`, and each output of a group hears all that its group got. From an input to an
#   output there are therefore
#
#   .. math:: E = \frac{C}{R G^2} \quad \text{paths, and one at} \quad G = \sqrt{C / R} .
#
# Fewer groups: several paths, paid for and redundant. More groups: pairs without any.


def block_diagonal(rows, columns, groups, values):
    mask = np.kron(np.eye(groups), np.ones((rows // groups, columns // groups)))
    return mask * values((rows, columns))


def factors(channels, reduction, groups, values):  # -> P (C, C / R), phi (C / R, C / R), Q^T (C / R, C)
    inner = channels // reduction
    shuffle = F.channel_shuffle(np.eye(inner)[..., None, None].transpose(1, 0, 2, 3), groups)[..., 0, 0].T
    return block_diagonal(channels, inner, groups, values), shuffle, block_diagonal(inner, channels, groups, values)


def paths(channels, reduction, groups):  # (C, C): from input (column) to output (row)
    P, shuffle, Q = factors(channels, reduction, groups, np.ones)
    return (P @ shuffle @ Q).astype(int)


for C, R, G in [(18, 2, 3), (32, 2, 4), (64, 4, 4), (64, 1, 8), (144, 4, 6), (256, 4, 8)]:
    assert np.all(paths(C, R, G) == 1)  # each pair
    P, _, Q = factors(C, R, G, np.ones)
    assert np.count_nonzero(P) + np.count_nonzero(Q) == 2 * C * C // (R * G)
for G in (1, 2, 4, 8):
    found = paths(64, 1, G)
    assert np.all(found == 64 // G**2)
assert np.mean(paths(64, 1, 16)) == 64 / 16**2  # fewer than one on average: most pairs have none

# %%
# Every block of the product has rank 1
# -------------------------------------
#
# One path means that an element of :math:`W` is one product, :math:`p_{ik} q_{kj}`, of the inner channel :math:`k` that leads
# from :math:`j`'s group to :math:`i`'s. In a block of :math:`W`, all inputs of a group and all outputs of a group, that :math:`k`
# is the same, so the block is an outer product: :math:`W` is dense, and each of its :math:`G \times G` blocks has rank 1. That is
# what is given up for the price. With fewer groups the rank rises to :math:`C/(RG^2)`.


def block_ranks(channels, reduction, groups):
    P, shuffle, Q = factors(channels, reduction, groups, rng.standard_normal)
    side = channels // groups
    blocks = (P @ shuffle @ Q).reshape(groups, side, groups, side).swapaxes(1, 2)  # (G, G, side, side)
    return np.linalg.matrix_rank(blocks)


C, R = 64, 4
G = int(np.sqrt(C / R))
assert np.all(block_ranks(C, R, G) == 1)
assert np.all(block_ranks(C, R, G // 2) == C // (R * (G // 2) ** 2))
figure, axes = plt.subplots(1, 4, figsize=(8.6, 2.6), layout="constrained")
P, shuffle, Q = factors(C, R, G, rng.standard_normal)
for axis, (title, matrix) in zip(
    axes, {"P": P, "shuffle": shuffle, "Qᵀ": Q, "their product": P @ shuffle @ Q}.items(), strict=True
):
    axis.imshow(matrix, cmap="RdBu", vmin=-np.abs(matrix).max(), vmax=np.abs(matrix).max())
    axis.set(title=f"{title}\n{matrix.shape[0]} x {matrix.shape[1]}", xticks=[], yticks=[])
axes[-1].set(xticks=np.arange(C // G, C, C // G) - 0.5, yticks=np.arange(C // G, C, C // G) - 0.5)
axes[-1].set_xticklabels([])
axes[-1].set_yticklabels([])
axes[-1].grid(color="k", linewidth=0.8)

# %%
# The library's two convolutions and the shuffle are that product, pixel by pixel.

squeeze, expand = (nn.Conv2d(a, b, 1, groups=G, bias=False).double() for a, b in ((C, C // R), (C // R, C)))
with mv.no_grad():
    squeeze.weight.data[:] = Q[Q != 0].reshape(C // R, C // G, 1, 1)
    expand.weight.data[:] = P[P != 0].reshape(C, C // R // G, 1, 1)
    x = rng.standard_normal((2, C, 3, 3))
    y = expand(F.channel_shuffle(squeeze(mv.tensor(x)), G)).data
np.testing.assert_allclose(y, np.einsum("ij,bjhw->bihw", P @ shuffle @ Q, x), atol=1e-12)
cost = mv.profile(nn.Sequential(squeeze, nn.ChannelShuffle(G), expand).float(), (C, 1, 1)).macs
assert cost == 2 * C * C // (R * G)

# %%
# What one path buys
# ------------------
#
# At a budget of :math:`O` multiply-adds a pixel a dense layer has :math:`\sqrt O` channels. With one path, :math:`R G^2 = C`
# and :math:`O = 2C^2/(RG) = 2 C \sqrt{C/R}`: many more channels for the same price.

budgets, wide = np.logspace(2, 5, 31), {}
figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
axes.loglog(budgets, np.sqrt(budgets), "k:", label="dense")
for R in (1, 2, 4):
    wide[R] = (budgets**2 * R / 4) ** (1 / 3)  # C from O = 2 C sqrt(C / R)
    np.testing.assert_allclose(2 * wide[R] * np.sqrt(wide[R] / R), budgets)
    axes.loglog(budgets, wide[R], label=f"one path, R = {R}")
axes.set(title="Channels that a budget pays for", xlabel="multiply-adds a pixel", ylabel="channels")
axes.legend()
pays = {R: f"{channels[15] / np.sqrt(budgets[15]):.1f}" for R, channels in wide.items()}
print(f"at {budgets[15]:.0f} multiply-adds, as many times the channels of a dense layer: {pays}")

# %%
# Dynamic Shift-Max
# -----------------
#
# Rank 1 is little, so groups are mixed once more, by the activation (section 4): the partner of channel :math:`i` is
# :math:`j(i)`, the next channel of the next group, and
#
# .. math:: y_i = \max_k \left( a_{ik}\, x_i + b_{ik}\, x_{j(i)} \right), \qquad k = 1, 2,
#
# where all :math:`a` and :math:`b` are found from the picture: its mean over pixels, two small linear maps and a hard sigmoid
# :math:`\sigma` scaled to :math:`[-2, 2]`, around where they begin. By hand, with loops:


def shift_max(x, first, second, groups, start):  # (B, C, H, W)
    batch, channels = x.shape[:2]
    inner = np.maximum(x.mean((2, 3)) @ first.weight.data.T + first.bias.data, 0)
    moved = 4 * np.clip((inner @ second.weight.data.T + second.bias.data) / 6 + 0.5, 0, 1) - 2
    moved = moved.reshape(batch, len(start), 2, channels)
    y, side = np.empty_like(x), channels // groups
    for b in range(batch):
        for i in range(channels):
            partner = (i // side + 1) % groups * side + (i % side + 1) % side
            y[b, i] = np.max([(a0 + a[i]) * x[b, i] + (b0 + c[i]) * x[b, partner] for (a, c), (a0, b0) in
                              zip(moved[b], start, strict=True)], axis=0)  # fmt: skip
    return y


mv.manual_seed(0)
start = ((1.0, 0.0), (0.5, 0.5))  # M3's: the identity, and the mean with the partner
act = ShiftMax(12, 3, 2, start).double()
x = rng.standard_normal((2, 12, 4, 4))
mine = shift_max(x, act.fc[0], act.fc[2], 3, start)
np.testing.assert_allclose(mine, act(mv.tensor(x)).data, atol=1e-12)
assert np.abs(mine - x).max() > 0.1

# %%
# Paths, once more
# ----------------
#
# With coefficients that are not zero the activation gives every channel two places to look at. Take *twice* as many groups as one
# path allows, so that most pairs have none: an output hears of two groups, which are neighbours, for the shuffle deals them out
# in order. Mixed with their partners, the next group is heard as well.

C, R = 64, 4
G = 2 * int(np.sqrt(C / R))
P, shuffle, Q = factors(C, R, G, np.ones)
mixing = np.eye(C) + np.eye(C)[partners(C, G)]  # x_i + x_j(i)
shares = [np.mean(P @ shuffle @ Q @ mix > 0) for mix in (np.eye(C), mixing)]
assert shares[0] == C / (R * G**2)
assert shares[1] == 3 / 2 * shares[0]
print(f"G = {G}: {shares[0]:.0%} of the pairs have a path, {shares[1]:.0%} with partners")

# %%
# On digits
# ---------
#
# A MicroNet for 8 x 8 digits, with Dynamic Shift-Max after every convolution of a block, as M0 to M2 have it, and after the
# depthwise ones alone, as M3 has it.

digits = mv.data.load("digits")
SEEDS, EPOCHS, STEPS = (1, 1, 2) if lesson.quick() else (3, 5, 20)


def accuracy(everywhere, seed):
    mv.manual_seed(seed)
    model, order = mv.create_model("micronet_digits", everywhere=everywhere), np.random.default_rng(seed)
    optimiser = mv.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(EPOCHS):
        for batch in np.array_split(order.permutation(len(digits.train_labels)), 20)[:STEPS]:
            loss = F.cross_entropy(4 * model(mv.tensor(digits.train_images[batch])), digits.train_labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with mv.no_grad():
        return np.mean(model.eval()(mv.tensor(digits.test_images[:])).data.argmax(1) == digits.test_labels)


for everywhere in (True, False):
    found = mv.profile(mv.create_model("micronet_digits", everywhere=everywhere), (1, 8, 8))
    scores = [accuracy(everywhere, seed) for seed in range(SEEDS)]
    print(f"{'everywhere' if everywhere else 'after depthwise'}: {found.parameters:,} parameters, {found.macs:,} multiply-adds, "
          f"{np.mean(scores):.1%} right ({min(scores):.1%} to {max(scores):.1%})")  # fmt: skip
    assert lesson.quick() or min(scores) > 0.9

# %%
# (The logits have left a norm and h-swish, so they are about 1: the factor of 4 lets the softmax be sure.)
#
# The claim
# ---------
#
# The paths are exact. The rest is not to be had here: the paper reports 59.4 % on ImageNet at 12 million multiply-adds, 9.6
# points above MobileNetV3 (Li et al. 2021, abstract; reported by the paper, not checked here). What can be counted are the
# networks.

for name in mv.list_models("micronet_m?"):
    found = mv.profile(mv.create_model(name), (3, 224, 224))
    print(f"{name}: {found.parameters / 1e6:.2f} M parameters, {found.macs / 1e6:.2f} M multiply-adds")
C, R = 64, 4
G = int(np.sqrt(C / R))
unique, ranks = np.unique(paths(C, R, G)), np.unique(block_ranks(C, R, G))
assert unique.tolist() == ranks.tolist() == [1]
measured = f"C = {C}, R = {R}, G = {G}: each of {C * C} pairs has {unique[0]} path, each of {G * G} blocks rank {ranks[0]}"
lesson.claim("C11", f"{measured}, for {cost / C**2:.0%} of a dense layer's work; the paper's accuracy is quoted, not checked")

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``shift-partners``: who is whose partner. ``shift-max``: two pieces and a maximum.
