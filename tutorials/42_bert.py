r"""
BERT: masks of two kinds
========================

A language model reads from left to right: if it saw the next word, there would be nothing to guess. What does that cost, and
how can one learn from both sides? BERT (Devlin et al. 2019) hides words and has them said. We cut words into pieces, hold the
mask over padding to exact zeros, and measure what both sides are worth, against entropies computed by hand.

:Prerequisites: :doc:`05_attention`, :doc:`38_transformer`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim
from minivision.models import bert
from minivision.text import WordPiece

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# Pieces of words
# ---------------
#
# Some 30,000 pieces write every English text: frequent words are one, rare ones several, those inside a word begin with ``##``.
# The longest piece that fits is taken, then the longest that fits behind it. What is taken stays taken.


def greedy(word, vocabulary, prefix=""):
    for end in range(len(word), 0, -1):
        if prefix + word[:end] in vocabulary:
            rest = greedy(word[end:], vocabulary, "##") if word[end:] else []
            return rest if rest == ["[UNK]"] else [prefix + word[:end], *rest]
    return ["[UNK]"]


SPECIAL, letters = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "abcdefghijklmnopqrstuvwxyz"
pieces = [*SPECIAL, *letters, *("##" + each for each in letters), "token", "un", "mask", "##ask", "##ing", "##ed", "hid"]
small = WordPiece({piece: i for i, piece in enumerate(pieces)})
assert all(greedy(word, pieces) == [pieces[i] for i in small.encode(word)] for word in ("tokens", "unmasking", "hidden"))
assert greedy("unable", ["un", "una", "##able"]) == ["[UNK]"]  # `un ##able` is not tried any more

# %%
# A text begins with [CLS], each of its parts ends with [SEP], and in a batch short texts are filled with [PAD]. Three arrays go
# into the network: which piece, which part, and what may be seen. Each token is the norm of a sum of three rows (figure 2).

tokens, segments, seen = small.batch([("tokens are masked", "which"), "unmask"])
print("\n".join(" ".join(pieces[number] for number in row) for row in tokens))
mv.manual_seed(0)
model = mv.create_model("bert_tiny", vocab_size=len(small)).double()
e = model.bert.embeddings
x = e.word_embeddings.weight[tokens] + e.position_embeddings.weight[: tokens.shape[1]]  # (B, T, D)
np.testing.assert_allclose(e.LayerNorm(x + e.token_type_embeddings.weight[segments]).numpy(), e(tokens, segments).numpy())

# %%
# The first mask: padding
# -----------------------
#
# The scores of padded keys are :math:`-\infty` before the softmax, so their weights are zero. Nothing need be done about padded
# queries: what they find goes nowhere, for nobody sees them as keys. There is no other mask: a token sees those to its right.
# We ask each output for its gradient with respect to each embedding, and GPT-2's, whose attention hides what comes later.


def through(x, mask):  # embeddings (B, T, D), mask (B, 1, 1, T), or (B, 1, T, T) with a say for each query
    for layer in model.bert.encoder["layer"]:
        x = layer(x, mask)
    return x


def reach(layers):  # -> how much output t depends on embedding s, of the largest (T, T)
    draw, each = np.random.default_rng(1), np.arange(12)
    read = mv.tensor(np.tile(draw.standard_normal((12, 64)), (12, 1, 1)), requires_grad=True)  # (T copies, T, D)
    (layers(read)[each, each] * mv.tensor(draw.standard_normal((12, 64)))).sum().backward()  # of copy t, output t
    return np.abs(read.grad.numpy()).max(-1) / np.abs(read.grad.numpy()).max()


alone = model.bert(*small.batch(["unmask"])).hidden.numpy()[0]
padded, unmasked = (model.bert(tokens, segments, mask).hidden.numpy() for mask in (seen, None))
other = model.bert(np.where(seen, tokens, 7), segments, seen)  # another token in place of [PAD]
hidden = through(e(tokens, segments), (seen[:, :, None] & seen[:, None])[:, None])  # queries too
assert all(np.array_equal(each.numpy()[seen], padded[seen]) for each in (other.hidden, hidden))
differs, without = (np.abs(each[1, : len(alone)] - alone).max() for each in (padded, unmasked))
print(f"a short text with padding differs from itself alone by {differs:.1g} with the mask, by {without:.1f} without")
assert differs < 1e-12
gpt = mv.create_model("gpt2_tiny", n_layer=2).double().transformer
both, triangle = reach(lambda x: through(x, np.arange(12) < 9)), reach(lambda x: gpt.ln_f(nn.Sequential(*gpt.h)(x)))
figure, axes = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained", sharey=True)
for axis, found, title in zip(axes, (both, triangle), ("BERT (the last three: padding)", "GPT-2"), strict=True):
    shown = axis.imshow(np.log10(np.where(found > 0, found, np.nan)), vmin=-4, vmax=0)
    axis.set(title=title, xlabel="embedding of token", ylabel="output of token", xticks=range(0, 12, 2))
figure.colorbar(shown, label="log10 of the gradient (white: 0)", extend="min", ax=axes)
assert np.all((both[:9] > 0) == (np.arange(12) < 9))
assert np.all((triangle > 0) == np.tri(12))
lesson.claim("L3", "each of BERT's 9 tokens depends on all 9, to its right too (the least gradient is "
             f"{both[:9, :9].min():.1g} of the largest), on no padding (0); GPT-2's on none to its right (0)")  # fmt: skip

# %%
# How large
# ---------
#
# With d numbers for a token a layer has :math:`4(d^2 + d)` of attention, :math:`8d^2 + 5d` of the feed-forward layer, which is
# four times as wide, and two norms of :math:`2d`. With the tables and their norm, and the pooler's matrix, that is
#
# .. math:: L (12 d^2 + 13 d) + (V + 512 + 2)\, d + 2d + d^2 + d .

told = []
for name, printed in (("base", 110), ("large", 340)):
    made = mv.create_model(f"bert_{name}_uncased")  # takes no memory before its numbers are asked for
    c, L, d = made.config, made.config.num_hidden_layers, made.config.hidden_size
    count, heads = mv.count_parameters(made.bert), c.num_attention_heads
    assert count == L * (12 * d**2 + 13 * d) + (c.vocab_size + 512 + 2) * d + 2 * d + d**2 + d
    told.append(f"{name}: {L} layers, {d} wide, {heads} heads, {count:,} parameters by formula and count, {printed} M printed")
lesson.claim("L4", "; ".join(told) + "; the feed-forward layer is four times as wide")

# %%
# The second mask: words to guess
# -------------------------------
#
# Where a token sees both sides it sees itself, and to say it is no task. So 15 % of the tokens are chosen, and most of these
# read as [MASK] (section 3.1). The loss is the mean over the chosen alone: the gradient of other logits is zero, exactly.

words, logits = rng.integers(5, 11, (1000, 40)), mv.tensor(rng.standard_normal((1000, 40, 11)), requires_grad=True)
read, labels = bert.mask_tokens(words, rng, mask=4, vocab_size=11, special=range(4))
chosen = labels != bert.IGNORED
fates = [np.mean(each[chosen]) for each in (read == 4, (read != 4) & (read != words), read == words)]
print(f"{chosen.mean():.1%} chosen; of these [MASK] {fates[0]:.1%}, another word {fates[1]:.1%}, itself {fates[2]:.1%}")
np.testing.assert_allclose(fates, [0.8, 0.1 * 5 / 6, 0.1 * 7 / 6], atol=0.03)  # of 6 words one is drawn in its own stead
bert.masked_lm_loss(logits, labels).backward()
wanted = (F.softmax(logits, -1).numpy() - np.eye(11)[words]) * chosen[:, :, None] / chosen.sum()
np.testing.assert_allclose(logits.grad.numpy(), wanted, rtol=1e-9)  # 0 where that is 0

# %%
# What both sides are worth
# -------------------------
#
# A Markov chain is a language that we know all about: :math:`P_{ij}` is how likely word j follows word i, :math:`\pi = \pi P`
# how frequent words are. Given all before it a word has the entropy :math:`h = -\sum_i \pi_i \sum_j P_{ij} \log P_{ij}`, and
# nothing that reads from the left does better. Given both neighbours (others tell no more), with :math:`h_2` for :math:`P^2`:
#
# .. math:: H(x_t \mid x_{t-1}, x_{t+1}) = H(x_t, x_{t+1} \mid x_{t-1}) - H(x_{t+1} \mid x_{t-1}) = 2h - h_2 .
#
# At the ends one neighbour is all there is, and tells as much: h. Three chains of six words, and for each BERT, and a BERT that
# reads all chosen words as [MASK]; one word in eight is chosen.

SEEDS, STEPS, RATES = (range(1), 4, [1e-3]) if lesson.quick() else (range(3), 400, [1e-3, 3e-3, 1e-2, 3e-2])


def drawn(P, count, length, draw):  # -> (count, length)
    x = [draw.choice(len(P), count, p=np.linalg.matrix_power(P, 1000)[0])]
    while len(x) < length:
        x.append(np.minimum((draw.random((count, 1)) > P.cumsum(1)[x[-1]]).sum(1), len(P) - 1))
    return np.stack(x, 1)


def descend(loss, parameters, told, lr):  # told: each step's arguments of the loss
    optimizer = optim.AdamW(parameters)
    for step, args in enumerate(told):
        optimizer.param_groups[0]["lr"] = lr * min(1, (step + 1) / 20) * (1 - step / len(told))
        optimizer.zero_grad()
        loss(*args).backward()
        optimizer.step()


BODY, nats, nsp, right = {"hidden_size": 32, "initializer_range": 0.15}, [], [], []
for seed in SEEDS:
    draw = np.random.default_rng(seed)
    P = draw.dirichlet(np.full(6, 0.3), 6)
    h, h2 = (-np.sum(np.linalg.matrix_power(P, 1000)[0] @ (M * np.log(M))) for M in (P, P @ P))
    texts, x = 5 + drawn(P, STEPS * 128, 8, draw).reshape(STEPS, 128, 8), 5 + drawn(P, 1000, 8, draw)
    hidden = [bert.mask_tokens(each, draw, 4, 11, range(4)) for each in texts]  # (what is read, labels)
    always = [(np.where(labels == bert.IGNORED, read, 4), labels) for read, labels in hidden]
    mv.manual_seed(seed)
    models = [mv.create_model("bert_tiny", vocab_size=11, **BODY) for _ in range(2)]
    for model, told in zip(models, (hidden, always), strict=True):
        descend(model.loss, model.parameters(), told, 1e-2)
    masked = [np.where(np.arange(8) == t, 4, x) for t in range(8)]
    found = [[F.cross_entropy(of(y).mlm[:, t], x[:, t]).item() for t, y in enumerate(read)] for read in (masked, 8 * [x])
             for of in models]  # fmt: skip
    nats.append([[np.nan, *7 * [h]], [h, *6 * [2 * h - h2], h], *found])
figure, axes = plt.subplots(1, len(SEEDS), figsize=(7.2, 2.8), layout="constrained", sharey=True, squeeze=False)
for seed, axis, found in zip(SEEDS, axes[0], np.array(nats), strict=True):
    lines = axis.plot(range(1, 9), found[:2].T) + axis.plot(range(1, 9), found[2], "C1s", range(1, 9), found[3], "kx")
    axis.set(title=f"Chain {seed + 1}", xlabel="place of the hidden word", ylim=(0, None), xticks=range(1, 9))
axes[0, 0].set(ylabel="nats, in new texts")
axes[0, -1].legend(lines, ["h: all before", "$2h - h_2$: both sides", "BERT", "always [MASK]"], fontsize=8, loc="lower center")
h, least, inside, always, plain, unasked = np.array(nats)[:, :, 1:7].mean(2).T  # each by seeds
print(f"all before {h.round(2)}, both sides {least.round(2)}: BERT {inside.round(2)}, always [MASK] {always.round(2)}\n"
      f"a word that can be read costs BERT {plain.round(2)}, always [MASK] {unasked.round(2)}")  # fmt: skip
assert lesson.quick() or np.all([inside < least + 0.1, inside < h - 0.3, plain < unasked])

# %%
# From both sides BERT comes to an entropy that nothing from the left can reach. A fifth of the chosen are not hidden, for who
# was asked at [MASK] alone knows little of words that can be read, as in tasks. (Fine-tuning hardly minds: appendix C.2.)
#
# Does the second part follow?
# ----------------------------
#
# That is the other task, for [CLS]. Four languages, each a chain over 12 of 24 words; in half of the pairs the second part is
# in another one. Then a new layer on [CLS] learns which language a text is in, from *two* texts of each: on the pre-trained
# body, and on the one that pre-training began with. Held-out texts choose a learning rate for each.


def written(chains, which, draw):  # languages (N) -> [CLS] twelve words [SEP] (N, 14)
    each = 5 + np.array([drawn(P, len(which), 12, draw) for P in chains])[which, range(len(which))]
    return np.insert(each, [0, 12], [2, 3], axis=1)


def pairs(chains, count, draw):  # -> [CLS] first [SEP] second [SEP] (N, 15), 1 where the second is a stranger's (N)
    which, strange = draw.integers(4, size=count), draw.integers(2, size=count)
    one, two = (written(chains, each, draw) for each in (which, (which + strange * draw.integers(1, 4, count)) % 4))
    return np.insert(np.where(strange[:, None] * (np.arange(14) > 6), two, one), 7, 3, axis=1), strange


def tuned(state, few, held, test, lr):  # -> right answers about held-out and about test texts
    body, head = mv.create_model("bert_tiny", vocab_size=29, **BODY).bert, nn.Linear(32, 4)
    body.load_state_dict(state)
    descend(lambda x, y: F.cross_entropy(head(body(x).pooled), y), nn.ModuleList([body, head]).parameters(), [few] * 100, lr)
    return [np.mean(head(body(x).pooled).numpy().argmax(1) == y) for x, y in (held, test)]


for seed in SEEDS:
    draw, chains = np.random.default_rng(seed), np.full((4, 24, 24), 1e-15)
    for P in chains:
        P[:, draw.permutation(24)[:12]] += draw.dirichlet(np.full(12, 0.3), 24)
    (known, strange), (unseen, answers) = pairs(chains, 4000, draw), pairs(chains, 500, draw)
    part = np.tile(np.repeat([0, 1], [8, 7]), (500, 1))
    told = [(*bert.mask_tokens(known[i], draw, 4, 29, range(4)), part[:64], None, strange[i])
            for i in draw.integers(4000, size=(STEPS, 64))]  # fmt: skip
    mv.manual_seed(seed)
    model = mv.create_model("bert_tiny", vocab_size=29, **BODY)
    start = {key: np.copy(value) for key, value in model.bert.state_dict().items()}
    descend(model.loss, model.parameters(), told, 5e-3)
    nsp.append(np.mean(model(unseen, part).nsp.numpy().argmax(1) == answers))
    sets = [(written(chains, which, draw), which) for which in (np.arange(n) % 4 for n in (8, 200, 1000))]
    right.append([[tuned(state, *sets, lr) for lr in RATES] for state in (start, model.bert.state_dict())])
right = np.array(right)  # (seeds, scratch and pre-trained, rates, held-out and test)
best = right[..., 0].mean(0).argmax(1)
fresh, after = right[:, [0, 1], best, 1].T
print(f"pairs right {np.round(nsp, 2)}; languages {fresh.round(2)}, pre-trained {after.round(2)}; rates {np.take(RATES, best)}")
assert lesson.quick() or np.all([np.array(nsp) > 0.8, after > fresh + 0.05])

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``bert-greedy``: the longest piece that fits. ``bert-embeddings``: three tables
# and a norm. ``bert-padding``: who may be seen. ``bert-mask-tokens``: 80, 10 and 10 %. ``bert-loss``: the mean over the chosen.
