r"""
Fewer tokens
============

Most patches of a photograph show background, yet a transformer works on each of them in every block. Which could be left out,
and who decides? In DynamicViT (Rao et al. 2021) small predictors do, on the way, for each image anew, and a transformer does
not mind: it needs no grid. We build the parts, prove that hiding a token equals removing it, count, time and train.

:Prerequisites: :doc:`08_vit`, :doc:`09_vit_digits`, :doc:`11_attention_cost`
"""

import time
from math import erf

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, models, nn, schedule, train
from minivision.models import dynamic_vit, vit

mv.set_num_threads(1)  # for the small networks, and so that the large ones are timed alike
rng = np.random.default_rng(0)
QUICK = lesson.quick()

# %%
# Who decides
# -----------
#
# A predictor gives each token the probability to be kept (section 3.2). It must know the token, and what else there is: of
# the features that a first layer makes, half stay the token's own, half become their mean over all tokens that are left.


def gelu(x):
    return x * (1 + np.vectorize(erf)(x / 2**0.5)) / 2


def predictor(x, kept, w, b):  # (N, D), booleans (N), matrices and biases -> log-probabilities (N, 2) of keeping, of dropping
    normed = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * w[0] + b[0]
    local, other = np.split(gelu(normed @ w[1].T + b[1]), 2, axis=1)
    h = np.hstack([local, np.tile(other[kept].mean(0), (len(x), 1))])
    h = gelu(gelu(h @ w[2].T + b[2]) @ w[3].T + b[3]) @ w[4].T + b[4]
    return h - np.log(np.exp(h).sum(1, keepdims=True))


N, D, kept = 12, 16, rng.permutation(12) < 7
x, theirs, block = rng.standard_normal((N, D)), dynamic_vit.Predictor(D), dynamic_vit.Block(vit.ViTConfig(D, 1, 4), 0.0)
for parameter in [*theirs.double().parameters(), *block.double().parameters()]:
    nn.init.normal_(parameter, std=0.3)
values = [parameter.numpy() for parameter in theirs.parameters()]
policy = kept.astype(float)[None, :, None]  # (B, N, 1)
found = predictor(x, kept, values[::2], values[1::2])
np.testing.assert_allclose(found, theirs(mv.tensor(x[None]), policy).numpy()[0], rtol=1e-10)

# %%
# A decision is 0 or 1, and has no gradient. So in training it is drawn, in a form that has one. With Gumbel noise g, which is
# :math:`-\log(-\log u)`, the larger of :math:`\log p_i + g_i` is :math:`i` with probability :math:`p_i`; the softmax of the
# same numbers is nearly that choice, and gives the gradient. What was dropped stays dropped.

gumbel = -np.log(-np.log(rng.random((20_000, N, 2))))
share = np.mean((found + gumbel).argmax(2) == 0, axis=0)
assert np.all(np.abs(share - np.exp(found[:, 0])) < 5 * 0.5 / 20_000**0.5)  # five standard deviations

# %%
# Hidden or gone
# --------------
#
# Images in a batch keep different patches, as many as they like while they are drawn. Tokens can then not be taken out, but
# attention can be kept from looking at them (section 3.3). With the scores :math:`s` and the policy :math:`m`,
#
# .. math:: A_{ij} = \frac{e^{s_{ij}} G_{ij}}{\sum_k e^{s_{ik}} G_{ik}}, \quad G_{ij} = 1 \text{ if } i = j, \text{ else } m_j .
#
# Each token sees itself, so that no row is empty. What a kept token gets is *exactly* what it would get were the others not
# there: in a whole block too, for all else in it works on each token alone.


def hiding(s, m):  # (N, N), (N) -> (N, N)
    e = np.exp(s - s.max(1, keepdims=True)) * np.where(np.eye(len(s)), 1, m)
    return e / e.sum(1, keepdims=True)


s = 3 * rng.standard_normal((N, N))
np.testing.assert_allclose(hiding(s, policy[0, :, 0]), dynamic_vit.masked_softmax(s[None, None], policy, 0.0)[0, 0], rtol=1e-12)
alone = np.exp(s[np.ix_(kept, kept)])
np.testing.assert_allclose(hiding(s, 1.0 * kept)[np.ix_(kept, kept)], alone / alone.sum(1, keepdims=True), rtol=1e-12)
hidden, gone = block(mv.tensor(x[None]), policy).numpy()[0, kept], block(mv.tensor(x[None, kept])).numpy()[0]
print(f"hidden or gone: {np.abs(hidden - gone).max():.0e} apart, for the authors' code adds {dynamic_vit.EPS:g} to sums")
assert np.abs(hidden - gone).max() < 1e-6

# %%
# In evaluation the tokens are taken out: the best :math:`\rho N` go on, then :math:`\rho^2 N` of those, then :math:`\rho^3
# N`.
#
# What it saves
# -------------
#
# A block on n tokens costs :math:`12 n D^2 + 2 n^2 D`, a predictor :math:`n\,(D^2 + D^2/2 + D^2/8 + D/2)`.

full, saved = mv.profile(mv.create_model("deit_small_patch16_224"), (3, 224, 224)).macs, {}
for rho, name in {0.5: "_r05", 0.6: "_r06", 0.7: "", 0.8: "_r08", 0.9: "_r09"}.items():
    config = models.entry(f"dynamic_vit_small{name}").config
    D, counts = config.embed_dim, [196, *config.tokens]
    macs = 196 * 3 * 16 * 16 * D + 1000 * D + sum(3 * (12 * n * D * D + 2 * n * n * D) for n in (n + 1 for n in counts))
    macs += sum(n * (D * D + D * D // 2 + D * D // 8 + D // 2) for n in counts[:-1])
    assert macs == mv.profile(models.create_model(f"dynamic_vit_small{name}"), (3, 224, 224)).macs
    saved[rho] = 1 - macs / full
    print(f"rho {rho}: {' -> '.join(map(str, counts))} patches, {macs:,} multiply-adds, {saved[rho]:.1%} less than DeiT-S")
tokens = models.entry("dynamic_vit_small").config.tokens
assert tokens == (137, 96, 67)

# %%
# Saved arithmetic is not saved time. Both networks, on one thread, take turns; the shortest time of each counts.

images = mv.tensor(rng.standard_normal((1 if QUICK else 4, 3, 224, 224), dtype=np.float32))
pair = [mv.create_model(name).eval() for name in ("deit_small_patch16_224", "dynamic_vit_small")]
seconds = np.zeros((2 if QUICK else 6, 2))  # turns, networks
with mv.no_grad():
    for turn, which in np.ndindex(seconds.shape):
        start = time.process_time()
        pair[which](images)
        seconds[turn, which] = time.process_time() - start
slow, fast = len(images) / seconds[1:].min(0)  # the first turn warms up
print(f"{slow:.1f} images a second, {fast:.1f} with fewer tokens: {(gain := fast / slow):.2f} times as many")

# %%
# What it costs
# -------------
#
# In photographs much is background. So here a digit lies at one of nine places of a picture of 4 x 4 patches, of which twelve
# are empty. A small ViT is trained. A DynamicViT begins with its weights and new predictors, and trains on with four losses
# (section 3.4): the labels', the teacher's logits, the teacher's tokens where they are kept, and the share that is kept. For
# fairness the plain ViT trains on as long. In both, weights that were trained move at a tenth of a rate, which is that of new
# ones, and is chosen on held-out images.

SEEDS, STEPS, RATES = (1, 2, (0.01,)) if QUICK else (3, 160, (0.005, 0.01, 0.02))
SMALL = {"embed_dim": 32, "mlp_ratio": 2.0, "img_size": 16, "patch_size": 4}
digits = [mv.data.load("digits", seed) for seed in range(SEEDS)]


def placed(images, rng):  # (B, 1, 8, 8) -> (B, 1, 16, 16)
    wide = np.full((len(images), 1, 16, 16), images.min(), np.float32)
    for picture, image, (i, j) in zip(wide[:, 0], images[:, 0], 4 * rng.integers(3, size=(len(images), 2)), strict=True):
        picture[i : i + 8, j : j + 8] = image
    return wide


def fit(network, groups, lr, loss, seed):  # loss(images, labels) -> a Tensor; a fifth of the images is held out
    data, rng = digits[seed], np.random.default_rng(seed)
    kept = np.flatnonzero(np.arange(len(data.train_labels)) % 5)
    optimiser = mv.optim.AdamW(groups, lr=lr)
    scheduler = schedule.Scheduler(optimiser, schedule.cosine(STEPS, warmup=STEPS // 10))
    for _ in range(STEPS):
        batch = kept[rng.integers(len(kept), size=64)]
        optimiser.zero_grad()
        images, labels = placed(data.train_images[batch], rng), np.eye(10, dtype=np.float32)[data.train_labels[batch]]
        loss(mv.tensor(images), 0.9 * labels + 0.01).backward()  # smoothed
        mv.optim.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        scheduler.step()
    return network.eval()


def right(network, seed, test=True):  # the share of right answers, each digit in four places
    data, rng = digits[seed], np.random.default_rng(9)
    images, labels = (data.test_images[:], data.test_labels) if test else (data.train_images[::5], data.train_labels[::5])
    return np.mean([train.predict(network, placed(images, rng), 512).argmax(1) == labels for _ in range(4)])


def plain(seed, lr, teacher=None):  # a ViT from the beginning, or a teacher that is trained on
    mv.manual_seed(seed)
    network = mv.create_model("vit_digits", **SMALL)
    for layer in (each for each in network.modules() if isinstance(each, nn.Linear)):
        nn.init.normal_(layer.weight, std=layer.weight.shape[1] ** -0.5)  # as in the lesson on ViT
    groups = train.trainer.groups(network, train.Config("vit", lr=lr))
    if teacher:
        network.load_state_dict(teacher.state_dict())
        groups = [{"params": list(network.parameters()), "lr": lr / 10}]
    return fit(network, groups, lr, lambda x, labels: F.cross_entropy(network(x), labels), seed)


def fewer(seed, lr, teacher):  # a DynamicViT that begins as the teacher
    mv.manual_seed(seed)
    network = mv.create_model("dynamic_vit_digits", distill=True, **SMALL)
    network.load_state_dict(teacher.state_dict(), strict=False)
    new = list(network.score_predictor.parameters())
    old = [each for name, each in network.named_parameters() if not name.startswith("score_predictor")]

    def loss(x, labels):
        with mv.no_grad():
            tokens = teacher.forward_features(x)
            logits = teacher.forward_head(tokens)
        return dynamic_vit.total(dynamic_vit.losses(network(x), labels, logits, tokens[:, 1:], network.config.ratios))

    return fit(network, [{"params": new}, {"params": old, "lr": lr / 10}], lr, loss, seed)


def blindly(network, seed):  # with as many patches, but any
    places = [rng.random((2000, count)).argsort(1) for count in (16, *network.config.tokens)]
    network.chosen = lambda x, stage: np.sort(places[stage][: len(x), : network.config.tokens[stage]], axis=1)
    return right(network, seed)


teachers = [plain(seed, 0.004) for seed in range(SEEDS)]
scores = {"teacher": np.array([right(each, seed) for seed, each in enumerate(teachers)])}
for name, way in {"longer": plain, "fewer": fewer}.items():
    tried = {lr: way(0, lr, teachers[0]) for lr in RATES}
    lr = max(RATES, key=lambda lr: right(tried[lr], 0, test=False))
    networks = [tried[lr], *(way(seed, lr, teachers[seed]) for seed in range(1, SEEDS))]
    scores[name] = np.array([right(each, seed) for seed, each in enumerate(networks)])
    print(f"{name}: at {lr:g}")
pictures = [placed(data.test_images[:], np.random.default_rng(9)) for data in digits]
with mv.no_grad():  # which patches are left, stage by stage
    left = [each.pruned(each.embed(mv.tensor(x)))[1] for each, x in zip(networks, pictures, strict=True)]
scores["blindly"] = np.array([blindly(each, seed) for seed, each in enumerate(networks)])
print({name: [f"{share:.1%}" for share in each] for name, each in scores.items()})
points = {name: 100 * (scores["fewer"] - each) for name, each in scores.items() if name != "fewer"}
told = {name: f"{each.mean():+.1f} ({each.min():+.1f} to {each.max():+.1f})" for name, each in points.items()}
verdict = {True: "holds at this scale", False: "does not hold here"}
lesson.claim("S8", f"{1 - tokens[-1] / 196:.0%} of DeiT-S's patches dropped: {saved[0.7]:.1%} fewer multiply-adds, {gain:.2f} "
             "times as many images a second, on one thread", verdict[0.31 <= saved[0.7] <= 0.37 and gain >= 1.4])  # fmt: skip
for name, other in {"teacher": "their teachers", "longer": "teachers trained as long"}.items():
    measured = f"small networks on digits, {SEEDS} seeds: {told[name]} points above {other}"
    lesson.claim("S8", measured, verdict[points[name].mean() >= -0.5])

# %%
# Against its teacher nothing is lost, for it was trained on; against the plain network that was trained as long, a little is.
# And the choice counts: with patches drawn blindly the same network is worse, though its first block has seen them all.
# Nobody said where the digit is. How many of the patches that are left have ink? More than by chance, and not all: after a
# block that mixes, an empty patch need not be empty.

ink = [x.reshape(-1, 4, 4, 4, 4).max((2, 4)).reshape(-1, 16) > x.min() for x in pictures]  # (B, patches) each
shares = [[np.take_along_axis(there, each, axis=1).mean() for each in stages] for there, stages in zip(ink, left, strict=True)]
print(f"of all patches {np.mean(ink[0]):.0%} have ink; of those left after each stage, for each seed: {np.round(shares, 2)}")
assert QUICK or (points["longer"].mean() > -2 and points["blindly"].mean() > 1 and np.min(shares) > np.mean(ink[0]))
bare = {"xticks": [], "yticks": [], "facecolor": "tab:orange"}
figure, axes = plt.subplots(4, 8, figsize=(7, 3.8), layout="constrained", subplot_kw=bare)
for row, kept in zip(axes, [np.tile(np.arange(16), (8, 1)), *left[0]], strict=True):
    row[0].set_ylabel(f"{kept.shape[1]} left", fontsize=10)
    for axis, picture, places in zip(row, pictures[0], kept, strict=False):
        hidden = np.isin(np.arange(16), places, invert=True).reshape(4, 4).repeat(4, 0).repeat(4, 1)
        axis.imshow(np.ma.masked_where(hidden, picture[0]), cmap="gray_r")
figure.suptitle("Unseen digits, and the patches that go on from each stage (orange: dropped)", fontsize=11)

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID``. ``dynamic-predictor``: what a patch is judged by; ``dynamic-masked-softmax``: how it is not
# looked at; ``dynamic-chosen``: which go on.
