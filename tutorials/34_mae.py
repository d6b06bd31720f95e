r"""
MAE: three quarters hidden
==========================

What can a network learn from pictures that nobody labelled? BERT hides words and has them guessed. He et al. (2022) hide three
quarters of an image's patches, and their encoder reads the rest alone: a quarter of the work. We build the masking and the loss
by hand, count the work, and fine-tune on a few labels, beside the same network from scratch.

:Prerequisites: :doc:`08_vit`, :doc:`12_few_shot`
"""

import timeit
from time import process_time

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim, random, schedule, train
from minivision.models import mae

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# Patches, shuffled
# -----------------
#
# An image becomes rows of numbers, one for each patch. Which rows are seen is drawn by sorting noise (section 3): the argsort
# of noise is a shuffle, the first of it are kept, and the argsort of a shuffle leads back.


def rows(images, P):  # (B, C, H, W) -> (B, N, P P C)
    cut = [images[:, :, i : i + P, j : j + P] for i in range(0, images.shape[2], P) for j in range(0, images.shape[3], P)]
    return np.stack([np.moveaxis(patch, 1, -1).reshape(len(images), -1) for patch in cut], axis=1)


def shuffled(noise, visible):  # (B, N) -> the seen (B, visible), the way back (B, N), 1 where a patch is hidden (B, N)
    shuffle = noise.argsort(1)
    mask = np.ones_like(noise)
    np.put_along_axis(mask, shuffle[:, :visible], 0, axis=1)
    return shuffle[:, :visible], shuffle.argsort(1), mask


images, noise = rng.standard_normal((3, 2, 8, 6)), rng.random((3, 12))
np.testing.assert_array_equal(rows(images, 2), mae.patchify(images, 2))
for mine, library in zip(shuffled(noise, 3), mae.random_masking(noise, 3), strict=True):
    np.testing.assert_array_equal(mine, library)

# %%
# Graded on what was hidden
# -------------------------
#
# With :math:`m_j = 1` where patch :math:`j` is hidden and :math:`n` numbers in each patch, the loss is
#
# .. math:: \mathcal L = \frac{1}{\sum_j m_j} \sum_j m_j\, \frac{1}{n} \|\hat x_j - x_j\|^2, \qquad
#           \frac{\partial \mathcal L}{\partial \hat x_j} = \frac{2\, m_j}{n \sum_k m_k} (\hat x_j - x_j) .
#
# Copying what is seen earns nothing: the gradient into predictions of seen patches, and into their targets, is 0, exactly.

small = mv.create_model("mae_digits", depth=2, decoder_depth=1, in_chans=2, img_size=(8, 6), mask_ratio=0.75).double()
pred, target = (mv.tensor(values, requires_grad=True) for values in (rng.standard_normal((3, 12, 8)), images))
mask, error = shuffled(noise, 3)[2], pred.numpy() - rows(images, 2)
loss = small.forward_loss(target, pred, mv.tensor(mask))
np.testing.assert_allclose(loss.item(), (mask[:, :, None] * error**2).sum() / (mask.sum() * 8), rtol=1e-12)
loss.backward()
np.testing.assert_allclose(pred.grad.numpy(), 2 * mask[:, :, None] * error / (8 * mask.sum()), rtol=1e-12)
assert not pred.grad.numpy()[mask == 0].any()
assert not rows(target.grad.numpy(), 2)[mask == 0].any()

# %%
# A quarter of the tokens
# -----------------------
#
# BERT's encoder reads a mask token at every gap. MAE's reads nothing there: the tokens come in behind it, and a smaller decoder
# reads them all. Counted in multiply-adds, beside the same encoder on all patches:

share, saved = [], []
for size in ("base", "large"):
    counted = mv.profile(mv.create_model(f"mae_vit_{size}_patch16"), (3, 224, 224))
    every = mv.profile(mv.create_model(f"vit_{size}_patch16_224", num_classes=0, global_pool="avg"), (3, 224, 224)).macs
    decoder = sum(row.macs for row in counted.rows if row.path in ("decoder_embed", "decoder_blocks", "decoder_pred"))
    share.append((counted.macs - decoder) / every)
    saved.append((every + decoder) / counted.macs)

# %%
# A quarter of the tokens, a quarter of the cost: at 197 tokens linear layers are most of it, and they read token by token. In
# seconds, for two blocks of a ViT-S, forward and backward:

model = mv.create_model("mae_vit_base_patch16", embed_dim=384, depth=2, num_heads=6, img_size=96 if lesson.quick() else 224)
images = mv.tensor(rng.standard_normal((2, *model.config.input_shape)).astype(np.float32))
RATIOS, spent, TIMES = np.array([0, 0.25, 0.5, 0.75, 0.9]), [], {"timer": process_time, "number": 1, "repeat": 5}
for ratio in RATIOS:
    seen = mae.random_masking(rng.random((2, model.patches)), int(model.patches * (1 - ratio)))
    spent.append(min(timeit.repeat(lambda seen=seen: model.forward_encoder(images, seen.keep).sum().backward(), **TIMES)))
figure, axis = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
axis.plot(100 * RATIOS, 1000 * np.array(spent), "o-", label="measured")
axis.plot(100 * RATIOS, 1000 * spent[0] * (1 - RATIOS), "k--", linewidth=1, label="in proportion to what is seen")
axis.set(title="The encoder's time for a step", xlabel="hidden patches (%)", ylabel="milliseconds", ylim=(0, None))
axis.legend()

# %%
# Afterwards the decoder is thrown away, and so is the norm behind the encoder, for a ViT that reads the mean of its tokens has
# one of its own. The other names are the ViT's, which takes what was learned:

pretraining = mv.create_model("mae_digits").state_dict()
new, left = mv.create_model("vit_digits", global_pool="avg").load_state_dict(pretraining, strict=False)
print("not pre-trained:", *new, "| thrown away:", *sorted({key.partition(".")[0] for key in left}))
assert all(key.startswith(("fc_norm.", "head.")) for key in new)
assert all(key.startswith(("decoder_", "mask_token", "norm.")) for key in left)
assert max(share) < 0.26
assert lesson.quick() or spent[3] < spent[0] / 2
lesson.claim("M3", f"the encoder takes {share[0]:.1%} of the multiply-adds that all patches would take (ViT-B; ViT-L "
             f"{share[1]:.1%}), pre-training with its decoder is {saved[0]:.1f} and {saved[1]:.1f} times cheaper, an encoder's "
             f"step was {spent[0] / spent[3]:.1f} times as fast; nothing of the decoder goes into the ViT")  # fmt: skip

# %%
# Pictures without labels
# -----------------------
#
# A masked autoencoder of two blocks, 32 wide, is trained on all training digits, without labels; it sees 4 of 4 x 4 patches.

SEEDS, BEFORE, STEPS, SHOTS = (range(1), 10, 4, (5,)) if lesson.quick() else (range(3), 900, 120, (5, 20))


def descend(loss, model, count, size, lr, steps):  # loss(numbers of a batch); all of `count` in turn -> losses
    optimizer, losses = optim.AdamW(mae.fine_tuning_groups(model, lr, layer_decay=1.0), betas=(0.9, 0.95)), []
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


digits = [mv.data.load("digits", seed) for seed in SEEDS]  # each seed with its own split
starts, losses = {"from scratch": [], "pre-trained": []}, []
for seed, data in zip(SEEDS, digits, strict=True):
    mv.manual_seed(seed)
    x, model = data.train_images[:], mv.create_model("mae_digits", embed_dim=32, depth=2, decoder_depth=1)
    starts["from scratch"].append({key: np.copy(value) for key, value in model.state_dict().items()})
    losses.append(descend(lambda batch, x=x, of=model: of(mv.tensor(x[batch])).loss, model, len(x), 64, 4e-3, BEFORE))
    starts["pre-trained"].append(model.state_dict())
print("loss, seed by seed:", *(f"{each[:10].mean():.2f} -> {each[-50:].mean():.2f}" for each in losses))
x, noise, columns = data.test_images[:5], rng.random((5, 16)), [("whole", data.test_images[:5])]
for visible in (8, 4, 2):
    seen = mae.random_masking(noise, visible)
    with mv.no_grad():
        pred = model.forward_decoder(model.forward_encoder(mv.tensor(x), seen.keep), seen.restore).numpy()
    for title, filling in (f"{visible} of 16 seen", np.nan), ("painted", pred):
        patches = np.where(seen.mask[:, :, None] == 1, filling, mae.patchify(x, 2))
        columns.append((title, mae.unpatchify(patches, (4, 4), 2)))
figure, axes = plt.subplots(5, 7, figsize=(7, 5.2), layout="constrained", subplot_kw={"facecolor": "lightsteelblue"})
for column, (title, several) in zip(axes.T, columns, strict=True):
    column[0].set_title(title, fontsize=9)
    for axis, image in zip(column, data.pictures(several), strict=True):
        axis.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
figure.suptitle("Digits that were never seen (blue: hidden)", fontsize=11)

# %%
# With half of the patches most digits can be read. With four, as in training, strokes are guessed and blurred; with two it
# paints little but the mean digit: of all that could be there, the squared error asks for the mean.
#
# A few labels
# ------------
#
# What is it worth? A few labelled digits of each class, and two networks of one shape: one begins with the pre-trained weights,
# the other with those that pre-training began with. Images and steps are the same; each has its own learning rate, chosen on a
# fifth of the training images, whose labels nothing else uses. At last the second gets three times the steps.

labelled = {}  # images and labels, none of the held-out fifth
for seed, data in zip(SEEDS, digits, strict=True):
    order = np.random.default_rng(seed).permutation(np.delete(np.arange(len(data.train_labels)), np.s_[::5]))
    for shots in SHOTS:
        few = np.concatenate([order[data.train_labels[order] == c][:shots] for c in range(10)])
        labelled[seed, shots] = data.train_images[few], data.train_labels[few]


def tuned(state, data, seed, shots, lr, steps=STEPS):  # -> right answers on held-out and on test images
    mv.manual_seed(100 + seed)
    model, (x, t) = mv.create_model("vit_digits", **VIT), labelled[seed, shots]
    model.load_state_dict(state, strict=False)
    descend(lambda batch: F.cross_entropy(model(mv.tensor(x[batch])), t[batch]), model, len(t), 32, lr, steps)
    sets = (data.train_images[::5], data.train_labels[::5]), (data.test_images[:], data.test_labels)
    return [np.mean(train.predict(model, images, 512).argmax(1) == labels) for images, labels in sets]


VIT, RATES, right = {"embed_dim": 32, "depth": 2, "global_pool": "avg"}, (2e-3, 6e-3), {}
for start, states in reversed(starts.items()):
    each = list(zip(states, digits, SEEDS, strict=True))
    tried = np.array([[[tuned(*those, shots, lr) for those in each] for lr in RATES] for shots in SHOTS])
    best = tried[..., 0].mean(2).argmax(1)  # of (shots, rates, seeds, held-out and test)
    right[start] = tried[np.arange(len(SHOTS)), best, :, 1]
    print(f"{start}: learning rates {', '.join(f'{RATES[i]:g}' for i in best)} for {SHOTS} labels a class")
right["scratch, 3 x steps"] = np.array([[tuned(*those, shots, RATES[i], 3 * STEPS)[1] for those in each]
                                        for shots, i in zip(SHOTS, best, strict=True)])  # fmt: skip

# %%
# And if nothing is tuned? The mean of the frozen tokens and one ridge solve (:doc:`12_few_shot`), its penalty chosen on the
# held-out images; beside it the same for the weights before pre-training, and for bare pixels.


def ridge(state, data, seed, shots):  # -> right answers on test images
    model = mv.create_model("vit_digits", num_classes=0, **VIT) if state else nn.Flatten()
    model.load_state_dict(state or {}, strict=False)
    parts = labelled[seed, shots][0], data.train_images[::5], data.test_images[:]
    X, held, test = (np.pad(train.predict(model, x, 512), ((0, 0), (0, 1)), constant_values=1) for x in parts)  # 1: the bias
    Y = np.where(np.arange(10) == labelled[seed, shots][1][:, None], 1.0, -1.0)
    solved = [np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T @ Y) for penalty in np.logspace(-2, 3, 11)]
    W = max(solved, key=lambda W: np.mean((held @ W).argmax(1) == data.train_labels[::5]))
    return np.mean((test @ W).argmax(1) == data.test_labels)


frozen = {"random weights": starts["from scratch"], "pre-trained": starts["pre-trained"], "pixels": [None for _ in SEEDS]}
solved = {name: np.array([[ridge(*those, shots) for those in zip(states, digits, SEEDS, strict=True)] for shots in SHOTS])
          for name, states in frozen.items()}  # fmt: skip
rows_of = {**right, **{f"{name}, one solve": shares for name, shares in solved.items()}}
figure, axes = plt.subplots(1, len(SHOTS), figsize=(7.2, 3), layout="constrained", sharey=True, squeeze=False)
for i, (axis, shots) in enumerate(zip(axes[0], SHOTS, strict=True)):
    for row, shares in enumerate(rows_of.values()):
        axis.plot(100 * shares[i], np.full(len(SEEDS), row), "o", alpha=0.6)
        axis.plot(100 * shares[i].mean(), row, "k|", markersize=14)
    axis.set(title=f"{shots} labels a class, {len(SEEDS)} seeds", xlabel="right answers (%, bar: mean)", ylim=(5.5, -0.5))
axes[0, 0].set_yticks(range(len(rows_of)), labels=rows_of)
gains, told = right["pre-trained"] - right["from scratch"], []  # (shots, seed): the same labels
means = zip(SHOTS, *(shares.mean(1) for shares in right.values()), 100 * gains, strict=True)
for shots, after, before, longer, gain in means:
    told.append(f"{shots} labels a class: {after:.1%} right after pre-training, {before:.1%} from scratch (by seeds "
                f"{gain.min():.1f} to {gain.max():.1f} points fewer), {longer:.1%} with three times the steps")  # fmt: skip
ahead = np.all(gains > 0) and np.all(right["pre-trained"].mean(1) > right["scratch, 3 x steps"].mean(1))
for name, shares in rows_of.items():
    print(f"{name:>25}: " + ", ".join(f"{shots} a class {each.mean():.1%}" for shots, each in zip(SHOTS, shares, strict=True)))
assert lesson.quick() or np.all(solved["pixels"].mean(1) > np.max([shares.mean(1) for shares in right.values()], axis=0))
lesson.claim("M4", "; ".join(told), "holds at this scale" if ahead else "does not hold here")

# %%
# With more steps the network from scratch comes nearer, above all with more labels. And bare pixels, 64 numbers that nearly
# tell the digit, beat all of these small Transformers. For ImageNet see the paper's section 4; it is not checked here.
#
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``mae-patchify``: images into rows. ``mae-masking``: a shuffle and the way back.
# ``mae-gaps``: what the decoder reads where nothing was seen. ``mae-loss``: graded on what was hidden.
