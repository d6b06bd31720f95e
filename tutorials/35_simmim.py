r"""
SimMIM: nothing but pixels and L1
=================================

MAE leaves hidden patches out, which a plain ViT allows; a Swin needs its whole map. Xie et al. (2022) put one learned token in
the place of each hidden patch, and ask a single linear layer for the raw pixels, to the mean absolute error. Is so little
enough? We build each piece by hand, see how far hidden pixels are from seen ones, and pre-train with that layer and with a
deeper head.

:Prerequisites: :doc:`34_mae`
"""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim, random, schedule, train
from minivision.models import simmim

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# Whole cells
# -----------
#
# Hidden are cells that hold several patches, as many in every image: those with the smallest of random numbers (section 3.2). A
# cell's rank in its image is the argsort of the argsort; then each cell becomes a square of patches.


def hidden_patches(noise, cells, count, scale):  # noise (B, cells) -> (B, H / P, W / P), 1 where a patch is hidden
    hidden = (noise.argsort(1).argsort(1) < count).reshape(-1, *cells)
    return np.kron(hidden, np.ones((1, scale, scale)))


model = mv.create_model("simmim_swin_base")
noise = rng.random((3, 36))
mask = hidden_patches(noise, (6, 6), int(np.ceil(0.6 * 36)), 32 // 4)
np.testing.assert_array_equal(mask, model.masking(3, noise))
print(f"{model.config.hidden} of {noise.shape[1]} cells are hidden, {mask.mean():.1%} of {mask.shape[1:]} patches")

# %%
# One token for all of them
# -------------------------
#
# Behind the patch embedding a hidden patch :math:`x_{ij}` is exchanged for the token :math:`e`: it becomes
# :math:`(1 - m_{ij})\, x_{ij} + m_{ij}\, e`, with :math:`m_{ij} = 1` where it is hidden. All tokens go on through the Swin.
# What the hidden pixels are changes nothing, to the last bit.

model = mv.create_model("simmim_digits", mask_seed=1).double()
images = rng.standard_normal((2, 1, 8, 8))
_, pred, mask = model(mv.tensor(images))
mask = mask.numpy()
other = np.where(mask[:, None] == 1, rng.standard_normal(images.shape), images)  # patches of one pixel
np.testing.assert_array_equal(pred.numpy(), model(mv.tensor(other)).pred.numpy())
tokens = model.encoder.patch_embed(mv.tensor(images)).numpy().copy()
tokens[mask == 1] = model.encoder.mask_token.numpy()[0, 0]
features = mv.tensor(tokens)
for stage in model.encoder.layers:
    features = stage(features)
features = model.encoder.norm(features).numpy()  # (B, 4, 4, D)

# %%
# A linear layer, and that is the decoder
# ---------------------------------------
#
# Each place of the last map tells the 2 x 2 pixels that it stands for (32 x 32 in the paper's Swin-B): a 1 x 1 convolution to
# as many channels, which are then laid out as pixels. The loss, with :math:`C` channels and the sums over all pixels,
#
# .. math:: \mathcal L = \frac{\sum m\, |x - \hat x|}{C \sum m}, \qquad
#           \frac{\partial \mathcal L}{\partial \hat x} = \frac{m\, \operatorname{sign}(\hat x - x)}{C \sum m},
#
# counts hidden pixels alone (section 3.4; the code adds :math:`10^{-5}` to the divisor).

weight, bias = (value.numpy() for value in model.decoder.parameters())
blocks = (features @ weight[:, :, 0, 0].T + bias).reshape(2, 4, 4, 2, 2)  # (B, rows, columns, 2, 2)
by_hand = blocks.transpose(0, 1, 3, 2, 4).reshape(2, 1, 8, 8)
np.testing.assert_allclose(by_hand, pred.numpy(), rtol=1e-12)
guess = mv.tensor(by_hand, requires_grad=True)
loss = simmim.masked_l1(mv.tensor(images), guess, mv.tensor(mask))
np.testing.assert_allclose(loss.item(), np.abs(images - by_hand)[mask[:, None] == 1].sum() / (mask.sum() + 1e-5), rtol=1e-12)
loss.backward()
np.testing.assert_allclose(guess.grad.numpy(), mask[:, None] * np.sign(by_hand - images) / (mask.sum() + 1e-5), rtol=1e-12)
assert not guess.grad.numpy()[mask[:, None] == 0].any()

# %%
# How far away is what is seen?
# -----------------------------
#
# A hidden pixel beside a seen one can be copied from there, which teaches little. The paper measures a masking by *AvgDist*,
# the mean distance from what is hidden to the nearest that is seen: large cells or high ratios make it large. Here for images
# of 192 x 192 in patches of 4 x 4, measured between the centres of patches:

SEEDS, EPOCHS, STEPS, SHOTS = (range(1), 1, 4, (5,)) if lesson.quick() else (range(3), 17, 80, (5, 20))
SIDE = 24 if lesson.quick() else 48
place = np.stack(np.indices((SIDE, SIDE)), -1).reshape(-1, 2).astype(np.float32)
square = (place**2).sum(1)
apart = 4 * np.sqrt(np.maximum(square[:, None] + square - 2 * place @ place.T, 0))  # pixels between centres of patches
RATIOS = np.arange(0.1, 0.95, 0.1)
figure, axis = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for scale, style in zip((1, 2, 4, 8), ("o-", "s-", "^-", "d-"), strict=True):
    cells, distances = (SIDE // scale) ** 2, []
    for ratio in RATIOS:
        noise = rng.random((1, cells))
        gone = hidden_patches(noise, (SIDE // scale, SIDE // scale), max(1, int(ratio * cells)), scale).ravel() == 1
        distances.append(apart[np.ix_(gone, ~gone)].min(1).mean())
    axis.plot(100 * RATIOS, distances, style, markersize=4, label=f"cells of {4 * scale} x {4 * scale}")
axis.axhline(4, color="k", linewidth=0.8, linestyle="--")
axis.set(title="From hidden patches to the nearest seen (dashed: neighbours)", xlabel="hidden (%)", ylabel="AvgDist (pixels)")
axis.legend(fontsize=9)

# %%
# Pre-training, with two heads
# ----------------------------
#
# A Swin of two stages for digits in patches of 2 x 2: its last map has 2 x 2 places, each of 4 x 4 pixels. One head is
# the linear layer. The other has two convolutions of 3 x 3 with GELUs before it, which see all four places.


def descend(loss, model, count, size, lr, steps):  # loss(numbers of a batch); all of `count` in turn -> losses
    groups, losses = optim.layer_decay_groups(model, lambda name: 0, lr, layer_decay=1.0), []
    optimizer = optim.AdamW(groups, betas=(0.9, 0.95))
    scheduler = schedule.Scheduler(optimizer, schedule.cosine(steps, warmup=steps // 10))
    order = np.concatenate([random.generator().permutation(count) for _ in range(1 + steps * size // count)])
    for batch in order[: steps * size].reshape(steps, size):
        optimizer.zero_grad()
        value = loss(batch)
        value.backward()
        optimizer.step()
        scheduler.step()
        losses.append(value.item())
    return np.array(losses)


def network(head, seed):
    mv.manual_seed(seed)
    model = mv.create_model("simmim_digits", patch_size=2)
    if head == "deeper":
        convolutions = (layer for _ in range(2) for layer in (nn.Conv2d(64, 64, 3, padding=1), nn.GELU()))
        model.decoder = nn.Sequential(*convolutions, *model.decoder)
    return model


def encoder(model):  # what goes into a Swin
    state = model.state_dict()
    return {key.removeprefix("encoder."): np.copy(state[key]) for key in state if key.startswith("encoder.")}


digits = [mv.data.load("digits", seed) for seed in SEEDS]  # each seed with its own split
RATE = {"linear": 1e-2, "deeper": 5e-3}  # of a few that were tried, those with the lowest loss
starts, models = {"from scratch": [encoder(network("linear", seed)) for seed in SEEDS]}, {}
for head in ("linear", "deeper"):
    models[head], lasts = [network(head, seed) for seed in SEEDS], []
    for seed, data, model in zip(SEEDS, digits, models[head], strict=True):
        mv.manual_seed(10 + seed)
        x = data.train_images[:]
        loss = partial(lambda x, model, batch: model(mv.tensor(x[batch])).loss, x, model)
        lasts.append(descend(loss, model, len(x), 64, RATE[head], EPOCHS * len(x) // 64)[-50:].mean())
    starts[head] = [encoder(model) for model in models[head]]
    print(f"{head} head: {sum(p.numpy().size for p in models[head][0].decoder.parameters()):,} parameters, "
          f"loss at last {np.mean(lasts):.3f} ({min(lasts):.3f} to {max(lasts):.3f})")  # fmt: skip

x = digits[0].test_images[:6]
seen = [models[head][0].eval()(mv.tensor(x), np.random.default_rng(5)) for head in models]  # the same masks
hidden = simmim.enlarged(seen[0].mask.numpy(), 2)[:, None] == 1
pictures = {"whole": x, "seen": np.where(hidden, np.nan, x)}
pictures |= {f"{head} head": np.where(hidden, found.pred.numpy(), x) for head, found in zip(models, seen, strict=True)}
figure, axes = plt.subplots(4, 6, figsize=(7, 4.8), layout="constrained", subplot_kw={"facecolor": "lightsteelblue"})
for row, (title, several) in zip(axes, pictures.items(), strict=True):
    row[0].set_ylabel(title, fontsize=10)
    for axis, image in zip(row, digits[0].pictures(several), strict=True):
        axis.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
figure.suptitle("Digits that were never seen (blue: hidden)", fontsize=11)

# %%
# A few labels
# ------------
#
# Both heads are thrown away. Three Swins of one shape are fine-tuned on a few labelled digits of each class: the two that were
# pre-trained, and one with the weights that pre-training began with. Images and steps are the same; each has its own learning
# rate, chosen at five labels a class on a fifth of the training images, whose labels nothing else uses.

labelled = {}  # images and labels, none of the held-out fifth
for seed, data in zip(SEEDS, digits, strict=True):
    order = np.random.default_rng(seed).permutation(np.delete(np.arange(len(data.train_labels)), np.s_[::5]))
    for shots in SHOTS:
        few = np.concatenate([order[data.train_labels[order] == c][:shots] for c in range(10)])
        labelled[seed, shots] = data.train_images[few], data.train_labels[few]


def tuned(state, data, seed, shots, lr):  # -> right answers on held-out and on test images
    mv.manual_seed(100 + seed)
    model, (x, t) = mv.create_model("swin_digits", patch_size=2), labelled[seed, shots]
    model.load_state_dict(state, strict=False)
    descend(lambda batch: F.cross_entropy(model(mv.tensor(x[batch])), t[batch]), model, len(t), 32, lr, STEPS)
    sets = (data.train_images[::5], data.train_labels[::5]), (data.test_images[:], data.test_labels)
    return [np.mean(train.predict(model, images, 512).argmax(1) == labels) for images, labels in sets]


RATES, right = (3e-3, 1e-2), {}
for start, states in starts.items():
    each = list(zip(states, digits, SEEDS, strict=True))
    tried = np.array([[tuned(*those, SHOTS[0], lr) for those in each] for lr in RATES])  # (rates, seeds, 2)
    best = tried[..., 0].mean(1).argmax()
    right[start] = np.array(
        [tried[best, :, 1], *([tuned(*those, shots, RATES[best])[1] for those in each] for shots in SHOTS[1:])]
    )
    print(f"{start:>12} (learning rate {RATES[best]:g}): " + "; ".join(
        f"{shots} a class {found.mean():.1%} ({found.min():.1%} to {found.max():.1%})"
        for shots, found in zip(SHOTS, right[start], strict=True)))  # fmt: skip

# %%
score = {start: shares.mean(0) for start, shares in right.items()}  # each seed's mean over the numbers of labels
figure, axes = plt.subplots(1, len(SHOTS), figsize=(7, 2.5), layout="constrained", sharey=True, squeeze=False)
for i, (axis, shots) in enumerate(zip(axes[0], SHOTS, strict=True)):
    for row, shares in enumerate(right.values()):
        axis.plot(100 * shares[i], np.full(len(SEEDS), row), "o", alpha=0.6)
        axis.plot(100 * shares[i].mean(), row, "k|", markersize=16)
    axis.set(title=f"{shots} labels a class, {len(SEEDS)} seeds", xlabel="right answers (%, bar: mean)", ylim=(2.5, -0.5))
axes[0, 0].set_yticks(range(3), labels=["from scratch", "linear head", "deeper head"])
helps = np.all(score["linear"] > score["from scratch"])  # with the same labels, for every seed
suffices = score["linear"].max() >= score["deeper"].min()  # their ranges meet
told = "; ".join(
    f"{shots} labels a class: {right['linear'][i].mean():.1%} right after pre-training with a linear head, "
    f"{right['deeper'][i].mean():.1%} with a deeper one, {right['from scratch'][i].mean():.1%} from scratch"
    for i, shots in enumerate(SHOTS)
)
gains = [100 * (score["linear"] - score[other]) for other in ("from scratch", "deeper")]
lesson.claim("M5", f"{told}; {len(SEEDS)} seeds: linear {gains[0].min():+.1f} to {gains[0].max():+.1f} points beside scratch, "
             f"{gains[1].min():+.1f} to {gains[1].max():+.1f} beside deeper",
             "holds at this scale" if helps and suffices else "does not hold here")  # fmt: skip

# %%
# With more steps a network from scratch may come nearer, as it did in :doc:`34_mae`; that was not tried here. What heads do on
# ImageNet, the paper reports.
#
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``simmim-masking``: whole cells, by rank. ``simmim-token``: one token for all
# that is hidden. ``simmim-loss``: the mean error of hidden pixels.
