r"""
Pixels as words
===============

A language model learns from text that nobody labelled: it guesses the next word. Can a network learn to see like that? iGPT
(Chen et al. 2020) takes a picture for a text, row by row, whose words are the colours of a small palette. We make the palette,
hold the causal mask to an exact zero, let a small iGPT finish half-hidden digits, and ask its layers what nobody told them.

:Prerequisites: :doc:`05_attention`, :doc:`12_few_shot`
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim
from minivision.data import palette
from minivision.data.augment import resample, transforms
from minivision.plot import pictures

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# A palette
# ---------
#
# A pixel of three bytes is one of :math:`2^{24}` colours: too many for words. Which :math:`k` colours stand for all with the
# least squared error? For given centres each pixel belongs to the nearest, and for given pixels the best centre is their mean.
# *k-means* does one after the other (Lloyd 1982); neither step can raise the error.


def lloyd(points, centres, steps=100):  # (N, C), (k, C) -> (k, C)
    for _ in range(steps):
        labels = ((points[:, None] - centres) ** 2).sum(-1).argmin(1)  # (N)
        centres = np.array([points[labels == number].mean(0) for number in range(len(centres))])
    return centres


photo = load_sample_images().images[1].transpose(2, 0, 1)[None].astype(np.float64)  # a flower: (1, 3, 427, 640)
small, other = photo[..., ::8, ::8], photo[..., 4::8, 4::8]  # every 64th pixel, and every 64th that is not among these
points = small[0].reshape(3, -1).T  # (N, 3)
start = palette.kmeans(points, 16, steps=0).centres
np.testing.assert_allclose(lloyd(points, start), palette.kmeans(points, 16).centres, rtol=1e-12)

# %%
# How many colours are enough? The paper takes 512, nine bits, so that a picture is a text a third as long as one of its red,
# green and blue values (section 3.2). The error is that of pixels from which no palette was made.

COUNTS = [2, 8, 64] if lesson.quick() else [2, 4, 8, 16, 32, 64, 128, 256, 512]
palettes = {count: mv.data.colour_palette(small, count, steps=10) for count in COUNTS}


def repainted(images, colours):
    return mv.data.to_images(mv.data.to_tokens(images, colours), colours, images.shape[2:])


error = {count: np.sqrt(np.mean((repainted(other, colours) - other) ** 2)) for count, colours in palettes.items()}
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.5), layout="constrained", width_ratios=[1.4, 1, 1, 1])
axes[0].semilogx(COUNTS, [*error.values()], "o-", base=2, markersize=4)
axes[0].set(xlabel="colours", ylabel="error of a value (of 255)", title="New pixels", ylim=(0, 30))
for axis, count in zip(axes[1:], (COUNTS[0], COUNTS[len(COUNTS) // 3], COUNTS[-1]), strict=True):
    axis.imshow(repainted(photo[..., ::4, ::4], palettes[count])[0].transpose(1, 2, 0).astype(np.uint8))
    axis.set(title=f"{count} colours", xticks=[], yticks=[])
print("error: " + ", ".join(f"{count}: {value:.1f}" for count, value in error.items()))
assert np.all(np.diff([*error.values()]) < 0)

# %%
# The next pixel
# --------------
#
# Any distribution over pictures of pixels :math:`x_1 \dots x_T` is a product of simple ones (section 2.1),
#
# .. math:: p(x) = \prod_t p(x_t \mid x_1 \dots x_{t-1}), \qquad L = -\frac1T \sum_t \log_2 p(x_t \mid x_1 \dots x_{t-1}) ,
#
# and :math:`L` is in *bits per pixel*: the size of a file that is compressed as well as these guesses allow. The network reads
# a start and then all pixels but the last, and says at each place how likely each colour is. It may look back only: the scores
# of later places are :math:`-\infty` before the softmax.


def causal(q, k, v):  # (..., T, D_h) each
    e = np.exp(np.where(np.tri(q.shape[-2]), q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5, -np.inf))
    return e / e.sum(-1, keepdims=True) @ v


def bits(model, x):  # tokens (B, T)
    logits = model(np.column_stack([np.full(len(x), 16), x[:, :-1]])).numpy()  # (B, T, 16)
    return np.mean(np.log2(np.exp(logits).sum(-1)) - np.take_along_axis(logits, x[..., None], -1)[..., 0] / np.log(2))


def network():  # weights begin so that a layer keeps the size of what it reads, and twelve branches add little
    model = mv.create_model("igpt_digits", n_embd=48)
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and "lm_head" not in name:
            nn.init.normal_(weight, std=0.5 if "r.w" in name else (len(weight) * (12 if "proj" in name else 1)) ** -0.5)
    return model


SEEDS, LIMIT, STEPS = (1, 150, 6) if lesson.quick() else (3, None, 600)
digits = [mv.data.load("digits", seed) for seed in range(SEEDS)]
train = [(d.train_pixels[:LIMIT], d.train_labels[:LIMIT]) for d in digits]
test = [(d.test_pixels[:LIMIT], d.test_labels[:LIMIT]) for d in digits]
grey = mv.data.colour_palette(digits[0].train_pixels, 16)
q, k, v = rng.standard_normal((3, 4, 10, 8))
np.testing.assert_allclose(causal(q, k, v), F.scaled_dot_product_attention(*map(mv.tensor, (q, k, v)), is_causal=True).numpy())
model, x = network().double(), mv.data.to_tokens(digits[0].test_pixels[:5], grey)
assert np.isclose(bits(model, x), np.log2(16))  # its last matrix begins at 0: all colours are as likely
nn.init.normal_(model.lm_head.weight)
np.testing.assert_allclose(bits(model, x), model.loss(x).item() / np.log(2), rtol=1e-12)

# %%
# Training
# --------
#
# 8 x 8 pixels in 16 greys are a text of 64 words. Digits are moved by up to a pixel each way, so that no stroke has its fixed
# place. Three networks of six layers learn, each from its own split. What must they beat? A table of how often each grey comes
# at each place.


def moved(pixels, rng):  # (N, 1, 8, 8) -> tokens (N, 64)
    (down, right), zero = rng.integers(-1, 2, (2, len(pixels))), np.zeros(len(pixels))
    return mv.data.to_tokens(resample(pixels, transforms(zero, zero + down, zero + right, zero > 0)), grey)


def trained(pixels, seed):
    mv.manual_seed(seed)
    model, draw = network(), np.random.default_rng(seed)
    optimiser = optim.AdamW(model.parameters(), betas=(0.9, 0.95))
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 0.01 * min(1, (step + 1) / 20) * (1 - step / STEPS)
        optimiser.zero_grad()
        model.loss(moved(pixels[draw.integers(len(pixels), size=8)], draw)).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model


def by_table(before, asked):  # (N, T) each -> bits per pixel of a table for each of T places
    counts = 1 + np.stack([np.bincount(column, minlength=16) for column in before.T])  # (T, 16)
    return -np.mean(np.log2(counts / counts.sum(1, keepdims=True))[np.arange(before.shape[1]), asked])


known, asked = ([moved(pixels, rng) for pixels, _ in part] for part in (train, test))  # (N, 64) for each seed
models = [trained(pixels, seed) for seed, (pixels, _) in enumerate(train)]
with mv.no_grad():
    cost = np.array([[by_table(t, x), bits(model, x)] for t, x, model in zip(known, asked, models, strict=True)]).T
print(f"bits per pixel of unseen digits: a table at each place {cost[0].round(2)}, iGPT {cost[1].round(2)}")
assert lesson.quick() or cost[1].max() < cost[0].min() - 0.3

# %%
# Does it see the future?
# -----------------------
#
# Take the gradient of each pixel's loss with respect to what is read at each place: zero, exactly, wherever that comes later.
# One backward pass gives all 64 x 64, from as many copies of one digit: copy t gives the loss of pixel t. (The dark rows are
# pixels at an edge, white whatever came before.)

model, x = models[0], asked[0][0]
read = mv.tensor(model.transformer.after(model.shifted(np.tile(x, (64, 1))), 0).numpy(), requires_grad=True)  # (64, T, D)
logits = model.lm_head(model.transformer.ln_f(nn.Sequential(*model.transformer.h)(read)))  # (64, T, 16)
F.cross_entropy(logits[np.arange(64), np.arange(64)], x, reduction="sum").backward()
reach = np.abs(read.grad.numpy()).max(-1)  # (loss of pixel t, what is read at s)
assert not reach[np.triu_indices(64, 1)].any()
assert np.all(reach[np.tril_indices(64)] > 0)
figure, axis = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
shown = axis.imshow(np.log10(np.where(reach > 0, reach, np.nan)), cmap="viridis", vmin=-4)
axis.set(title="Which loss hears what", xlabel="read at place s (0: the start, s: pixel s - 1)", ylabel="loss of pixel t")
figure.colorbar(shown, label="log10 of the gradient (white: zero)", extend="min")

# %%
# The other half
# --------------
#
# The upper half of unseen digits, and three continuations of each, drawn pixel by pixel. They differ, as they must where the
# half leaves it open. Do they listen to it? We give each digit the next one's upper half. What that costs more is the lower's.

x = asked[0][np.unique(test[0][1], return_index=True)[1]]  # one of each class
drawn = [models[0].complete(x[:, :32], 64, rng=np.random.default_rng(seed)) for seed in range(1 if lesson.quick() else 3)]
rows = np.stack([x, np.where(np.arange(64) < 32, x, 3), *drawn])  # (rows, 10, 64)
cells = mv.data.to_images(rows.reshape(-1, 64), grey, (8, 8)).reshape(*rows.shape[:2], 8, 8)
figure, axis = plt.subplots(figsize=(7, 3.9), layout="constrained")
axis.imshow(pictures.mosaic(cells, 1, 0), cmap="gray_r", vmin=0, vmax=16)
axis.set(title="Unseen digits, their upper halves, and three continuations", xticks=[], frame_on=False)
axis.set_yticks(np.arange(len(rows)) * 9 + 3.5, ["digit", "given", *range(1, len(rows) - 1)])
with mv.no_grad():
    swapped = [np.column_stack([np.roll(x, 1, 0)[:, :32], x[:, 32:]]) for x in asked]
    more = 2 * np.array([bits(m, y) - bits(m, x) for m, x, y in zip(models, asked, swapped, strict=True)])
print(f"a pixel of the lower half costs {more.round(2)} bits more after a stranger's upper half")
assert lesson.quick() or more.min() > 0.1

# %%
# What each layer knows
# ---------------------
#
# Nobody told the network which digit it reads. Does it know? A linear solve (:doc:`12_few_shot`) on frozen features, the mean
# over all places of a layer, finds out; a fifth of the training digits, held out, chooses its penalty.


def probe(table, labels, known):  # features and labels of `known` training digits and the test digits -> right answers of these
    mean, std = table[:known].mean(0), table[:known].std(0) + 1e-9
    table = np.column_stack([(table - mean) / std, np.ones(len(table))]).astype(np.float64)
    X, Y = table[: (fit := 4 * known // 5)], np.where(labels[:fit, None] == np.arange(10), 1.0, -1.0)
    solved = [np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T @ Y) for penalty in np.logspace(-2, 4, 13)]
    right = np.array([(table @ W).argmax(1) == labels for W in solved])  # (penalties, N)
    return right[right[:, fit:known].mean(1).argmax(), known:].mean()


def by_layer(model, tokens):  # (N, T) -> the mean over all places of norm(h), before each block and behind the last (7, N, D)
    x, means = model.transformer.after(model.shifted(tokens), 0), []
    for block in model.transformer.h:
        means.append(block.ln_1(x).mean(1).numpy())
        x = block(x)
    return np.stack([*means, model.transformer.ln_f(x).mean(1).numpy()])


share, centred = np.zeros((3, len(models), 7)), []  # right answers of iGPT, the same untrained, and pixels; of centred pixels
for seed, model in enumerate(models):
    mv.manual_seed(100 + seed)
    (images, labels), N = map(np.concatenate, zip(train[seed], test[seed], strict=True)), len(known[seed])
    tokens = np.concatenate([known[seed], asked[seed]])  # (N, 64)
    with mv.no_grad():
        tables = [by_layer(each, tokens) for each in (model, network())]
        np.testing.assert_allclose(tables[0][3][:9], model.features(tokens[:9], 3).numpy(), rtol=1e-4, atol=1e-5)
    share[:2, seed] = [[probe(layer, labels, N) for layer in each] for each in tables]
    share[2, seed] = probe(grey[tokens, 0], labels, N)
    centred.append(probe(images.reshape(-1, 64), labels, N))
figure, axis = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for name, runs, style in zip(("iGPT", "untrained", "pixels"), share, ("o-", "s-", "--"), strict=True):
    colour = axis.plot(runs.mean(0), style, markersize=4, label=name)[0].get_color()
    axis.fill_between(range(7), runs.min(0), runs.max(0), color=colour, alpha=0.2)
    print(f"{name:>9}: " + ", ".join(f"{value:.1%}" for value in runs.mean(0)))
axis.set(title="Which moved digit?", xlabel="layer (0: the embeddings)", ylabel=f"right answers (shaded: {len(models)} seeds)")
axis.legend(fontsize=9)
print(f"best layers {share[0].argmax(1)} of 0 to 6; pixels of centred digits: {np.mean(centred):.1%}")
assert lesson.quick() or (share[0, :, 1:].min() > share[1].max() and np.all(share[0, :, 0] < share[0, :, 1:].T))

# %%
# To guess pixels teaches a good part of what digits are. The paper's networks of 24 to 48 layers know most in the *middle*: the
# last layers turn back to pixels. After six layers and seconds of training ours have no such peak: the upper half of the layers
# differ less than the seeds do. What is blind to places is worth most where things move: centred digits are easy for pixels.
# Its successor reads patches: 88.5 % on ImageNet against iGPT's 72 % (Dosovitskiy et al. 2021), claim V13, quoted here.
#
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``palette-means``: the step of k-means, and colours that nobody wants.
# ``igpt-shifted``: what is read before a pixel is said. ``igpt-loss``: nats per pixel. ``igpt-features``: a layer as a vector.
