r"""
BERT: masks of two kinds
========================

A language model reads from left to right: if it saw the next word, there would be nothing to guess. What does that cost, and how
can one learn from both sides? BERT (Devlin et al. 2019) hides words and has them said. We cut words into pieces, hold the mask
of the padding to exact zeros, and measure what both sides are worth, against entropies computed by hand.

:Prerequisites: :doc:`05_attention`, :doc:`36_igpt`
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
pieces = [*SPECIAL, *letters, *("##" + each for each in letters), "token", "##s", "un", "mask", "##ask", "##ing", "##ed", "hid"]
pieces = list(dict.fromkeys(pieces))  # "##s" was there
small = WordPiece({piece: i for i, piece in enumerate(pieces)})
for word in ("tokens", "unmasking", "tasks", "hidden"):
    assert greedy(word, pieces) == [pieces[number] for number in small.encode(word)]
assert greedy("unable", ["un", "una", "##able"]) == ["[UNK]"]  # `un ##able` is not tried any more

# %%
# A text begins with [CLS] and each of its parts ends with [SEP]. In a batch short texts are filled with [PAD], and three arrays
# go into the network: which piece, which part, and what may be seen. Each token is the norm of a sum of three rows (figure 2).

batch = tokens, segments, seen = small.batch([("tokens are masked", "which"), "unmask"])
print("\n".join(" ".join(pieces[number] for number in row) for row in tokens))
mv.manual_seed(0)
model = mv.create_model("bert_tiny", vocab_size=len(small)).double()
e, T = model.bert.embeddings, tokens.shape[1]
word, position, segment = (getattr(e, f"{name}_embeddings").weight.numpy() for name in ("word", "position", "token_type"))
x = word[tokens] + position[:T] + segment[segments]  # (B, T, D)
x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)  # the norm's own weights begin at 1 and 0
np.testing.assert_allclose(x, e(tokens, segments).numpy(), rtol=1e-9, atol=1e-12)

# %%
# The first mask: padding
# -----------------------
#
# The scores of padded keys are :math:`-\infty` before the softmax, so their weights are zero. Nothing need be done about padded
# queries: what they find goes nowhere, for nobody sees them as keys.


def through(x, mask):  # embeddings (B, T, D), mask (B, 1, 1, T), or (B, 1, T, T) with a say for each query
    for layer in model.bert.encoder["layer"]:
        x = layer(x, mask)
    return x


with mv.no_grad():
    alone = model.bert(*small.batch(["unmask"])).hidden.numpy()[0]
    padded, unmasked = (model.bert(tokens, segments, mask).hidden.numpy() for mask in (seen, None))
    other = np.where(seen, tokens, rng.integers(len(small), size=tokens.shape))  # anything in place of [PAD]
    np.testing.assert_array_equal(model.bert(other, segments, seen).hidden.numpy()[seen], padded[seen])
    hidden = through(e(tokens, segments), (seen[:, :, None] & seen[:, None])[:, None])  # queries too
    np.testing.assert_array_equal(hidden.numpy()[seen], padded[seen])
differs, without = (np.abs(each[1, : len(alone)] - alone).max() for each in (padded, unmasked))
print(f"a short text with padding differs from itself alone by {differs:.1g} with the mask, by {without:.1f} without;")
print("other tokens in place of [PAD], or padded queries hidden as well, change nothing: 0, exactly")
assert differs < 1e-12

# %%
# And no other mask: a token sees those to its right. We ask every output for its gradient with respect to every embedding, by
# one copy of the text for each output, and do the same with GPT-2, whose attention hides what comes later.


def reach(layers):  # -> how much output t depends on embedding s, of the largest (T, T)
    draw, each = np.random.default_rng(1), np.arange(12)
    read = mv.tensor(np.tile(draw.standard_normal((12, 64)), (12, 1, 1)), requires_grad=True)  # (T copies, T, D)
    (layers(read)[each, each] * mv.tensor(draw.standard_normal((12, 64)))).sum().backward()  # of copy t, output t
    found = np.abs(read.grad.numpy()).max(-1)
    return found / found.max()


gpt = mv.create_model("gpt2_tiny", n_layer=2).double().transformer
both, triangle = reach(lambda x: through(x, np.arange(12) < 9)), reach(lambda x: gpt.ln_f(nn.Sequential(*gpt.h)(x)))
figure, axes = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained", sharey=True)
for axis, found, title in zip(axes, (both, triangle), ("BERT (the last three: padding)", "GPT-2"), strict=True):
    shown = axis.imshow(np.log10(np.where(found > 0, found, np.nan)), vmin=-4, vmax=0)
    axis.set(title=title, xlabel="embedding of token", ylabel="output of token", xticks=range(0, 12, 2))
figure.colorbar(shown, label="log10 of the gradient (white: 0)", extend="min", ax=axes)
assert np.all((both[:9] > 0) == (np.arange(12) < 9))
assert np.all((triangle > 0) == np.tri(12))
lesson.claim("L3", f"each of BERT's 9 tokens depends on all 9, those to its right too (the least gradient is {both[:9, :9].min():.1g}"
             " of the largest), and on none of 3 that are padding (exactly 0); GPT-2's on none to its right (exactly 0)")  # fmt: skip

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
    c, count, L, d = made.config, mv.count_parameters(made.bert), made.config.num_hidden_layers, made.config.hidden_size
    assert count == L * (12 * d**2 + 13 * d) + (c.vocab_size + 512 + 2) * d + 2 * d + d**2 + d
    told.append(f"{name}: {L} layers, {d} wide, {c.num_attention_heads} heads, feed-forward {c.intermediate_size // d} times as "
                f"wide, {count:,} parameters by formula and by count, {printed} M printed")  # fmt: skip
lesson.claim("L4", "; ".join(told))

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
print(f"{chosen.mean():.1%} chosen; of these [MASK] {fates[0]:.1%}, another word {fates[1]:.1%}, the word itself {fates[2]:.1%}")
np.testing.assert_allclose(fates, [0.8, 0.1 * 5 / 6, 0.1 * 7 / 6], atol=0.03)  # of 6 words one is drawn in its own stead
bert.masked_lm_loss(logits, labels).backward()
p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(-1, keepdims=True)
wanted = np.where(chosen[..., None], (p - np.eye(11)[words]) / chosen.sum(), 0)
np.testing.assert_allclose(logits.grad.numpy(), wanted, rtol=1e-9)  # and 0 where that is 0

# %%
# What both sides are worth
# -------------------------
#
# A Markov chain is a language that we know all about: :math:`P_{ij}` is how likely word j follows word i, :math:`\pi = \pi P`
# how frequent words are. Given all before it a word has the entropy :math:`h = -\sum_i \pi_i \sum_j P_{ij} \log P_{ij}`, and
# nothing that reads from the left can do better. Given both neighbours (further ones tell no more), with :math:`h_2` of
# :math:`P^2`, two steps at once,
#
# .. math:: H(x_t \mid x_{t-1}, x_{t+1}) = H(x_t, x_{t+1} \mid x_{t-1}) - H(x_{t+1} \mid x_{t-1}) = 2h - h_2 .
#
# At the first and the last place one neighbour is all there is, and it tells as much: h. Three chains of six words, three
# networks each: BERT, GPT-2, and a BERT that reads all chosen words as [MASK]; one word in eight is chosen.

SEEDS, STEPS, TEXTS = (range(1), 4, 99) if lesson.quick() else (range(3), 400, 4000)


def drawn(P, count, length, draw):  # -> (count, length)
    x = [draw.choice(len(P), count, p=np.linalg.matrix_power(P, 1000)[0])]
    while len(x) < length:
        x.append(np.minimum((draw.random((count, 1)) > P.cumsum(1)[x[-1]]).sum(1), len(P) - 1))
    return np.stack(x, 1)


def descend(loss, parameters, steps, lr):
    optimizer = optim.AdamW(parameters)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1, (step + 1) / 20) * (1 - step / steps)
        optimizer.zero_grad()
        loss(step).backward()
        optimizer.step()


exact, nats, plain = [], [], []  # by seed: two entropies; of three networks at eight places; of words that can be read
for seed in SEEDS:
    draw = np.random.default_rng(seed)
    P = draw.dirichlet(np.full(6, 0.3), 6)
    h, h2 = (-np.sum(np.linalg.matrix_power(P, 1000)[0] @ (M * np.log(M))) for M in (P, P @ P))
    exact.append([h, 2 * h - h2])
    texts, x = 5 + drawn(P, STEPS * 128, 8, draw).reshape(STEPS, 128, 8), 5 + drawn(P, 1000, 8, draw)
    hidden = [bert.mask_tokens(each, draw, 4, 11, range(4)) for each in texts]  # (what is read, labels)
    only = [(np.where(labels == bert.IGNORED, read, 4), labels) for read, labels in hidden]
    mv.manual_seed(seed)
    pair = [mv.create_model("bert_tiny", hidden_size=32, vocab_size=11, initializer_range=0.15) for _ in range(2)]
    for model, told in zip(pair, (hidden, only), strict=True):
        descend(lambda step, of=model, told=told: of.loss(*told[step]), model.parameters(), STEPS, 1e-2)
    gpt = mv.create_model("gpt2_tiny", n_layer=2, n_embd=32, vocab_size=11)
    descend(lambda step, of=gpt, texts=texts: of.loss(texts[step]), gpt.parameters(), STEPS, 1e-2)
    with mv.no_grad():
        left = [np.nan, *(F.cross_entropy(gpt(x[:, :t])[:, -1], x[:, t]).item() for t in range(1, 8))]
        masked = [np.where(np.arange(8) == t, 4, x) for t in range(8)]
        nats.append([left, *([F.cross_entropy(of(y).mlm[:, t], x[:, t]).item() for t, y in enumerate(masked)] for of in pair)])
        plain.append([F.cross_entropy(of(x).mlm[:, 1:7].flatten(0, 1), x[:, 1:7].reshape(-1)).item() for of in pair])
exact, (left, inside, only) = np.array(exact), np.array(nats)[:, :, 1:7].mean(2).T  # places with both neighbours, (3, seeds)
figure, axes = plt.subplots(1, len(SEEDS), figsize=(7.2, 2.8), layout="constrained", sharey=True, squeeze=False)
for axis, (h, least), found in zip(axes[0], exact, nats, strict=True):
    axis.plot(range(2, 9), 7 * [h], "C0", label="h: all before")
    axis.plot(range(1, 9), [h, *6 * [least], h], "C1", label="$2h - h_2$: both sides")
    axis.plot(range(1, 9), found[0], "C0o", label="GPT-2")
    axis.plot(range(1, 9), found[1], "C1s", label="BERT")
    axis.set(xlabel="place of the word", ylim=(0, None), xticks=range(1, 9))
axes[0, 0].set(ylabel="nats for an unseen word")
axes[0, -1].legend(fontsize=8, loc="lower center")
print(f"h {exact[:, 0].round(2)}, GPT-2 {left.round(2)}; both sides {exact[:, 1].round(2)}, BERT {inside.round(2)}")
print(f"all chosen read as [MASK]: {only.round(2)}; a word that can be read costs BERT {np.array(plain)[:, 0].round(2)}, "
      f"this one {np.array(plain)[:, 1].round(2)}")  # fmt: skip
if not lesson.quick():
    assert np.all(inside < exact[:, 1] + 0.08)
    assert np.all(inside < exact[:, 0] - 0.2)
    assert np.all(left > exact[:, 0] - 0.05)

# %%
# BERT comes to the entropy of both sides, seed by seed, where GPT-2 comes to its own and cannot pass it. And why is a fifth of
# the chosen not hidden? A network that was asked at [MASK] alone has nothing to say about words that it can read, and tasks have
# no other. (The paper's ablation, appendix C.2, finds that fine-tuning mends most of that.)
#
# Does the second follow?
# -----------------------
#
# The other task: does the second part go on from the first, or is it a stranger? Four languages of 24 letters for words, each
# with its own chain over 12 of them; a stranger speaks another language. Afterwards, which language is it? A new layer on [CLS]
# learns that from *two* texts of each, with the pre-trained weights or those that pre-training began with. Each has its own
# learning rate, chosen on held-out texts.

RATES, reader = (3e-4, 1e-3, 3e-3), WordPiece({piece: i for i, piece in enumerate([*SPECIAL, *letters[:24]])})


def written(chains, which, draw):  # languages (N) -> N texts of twelve words
    walks = np.array([drawn(P, len(which), 12, draw) for P in chains])[which, range(len(which))]
    return [" ".join(letters[i] for i in row) for row in walks]


def pairs(chains, count, draw):
    which, stranger, ends = draw.integers(4, size=count), draw.integers(2, size=count), 2 * draw.integers(4, 7, count)
    one, two = (written(chains, each, draw) for each in (which, (which + draw.integers(1, 4, count)) % 4))
    return reader.batch([(x[:n], (y if s else x)[n:]) for x, y, s, n in zip(one, two, stranger, ends, strict=True)]), stranger


def pretrained(model, chains, draw):  # -> right answers of the second task, on new pairs
    (tokens, segments, seen), stranger = pairs(chains, TEXTS, draw)

    def loss(step):
        i = draw.integers(TEXTS, size=64)
        return model.loss(*bert.mask_tokens(tokens[i], draw, 4, 29, range(4)), segments[i], seen[i], stranger[i])

    descend(loss, model.parameters(), STEPS, 5e-3)
    unseen, stranger = pairs(chains, 500, draw)
    return np.mean(model(*unseen).nsp.numpy().argmax(1) == stranger)


def tuned(body, few, held, test, lr):  # -> right answers on held-out and on test texts
    head = nn.Linear(32, 4)
    descend(lambda _: F.cross_entropy(head(body(*few[0]).pooled), few[1]), [*body.parameters(), *head.parameters()], STEPS // 4, lr)
    return [np.mean(head(body(*texts).pooled).numpy().argmax(1) == which) for texts, which in (held, test)]


follow, right = [], np.zeros((2, len(RATES), len(SEEDS), 2))
for seed in SEEDS:
    draw, chains = np.random.default_rng(seed), np.full((4, 24, 24), 1e-15)
    for P in chains:
        P[:, draw.permutation(24)[:12]] += draw.dirichlet(np.full(12, 0.3), 24)
    sets = [(reader.batch(written(chains, which, draw)), which) for which in (np.repeat(range(4), n) for n in (2, 50, 250))]
    mv.manual_seed(seed)
    model = mv.create_model("bert_tiny", hidden_size=32, vocab_size=29, initializer_range=0.15)
    states = [{key: np.copy(value) for key, value in model.bert.state_dict().items()}]
    follow.append(pretrained(model, chains, draw))
    for start, state in enumerate([*states, model.bert.state_dict()]):
        for i, lr in enumerate(RATES):
            body = mv.create_model("bert_tiny", hidden_size=32, vocab_size=29).bert
            body.load_state_dict(state)
            right[start, i, seed] = tuned(body, *sets, lr)
best = right[..., 0].mean(2).argmax(1)  # a rate for each start
scratch, after = right[[0, 1], best, :, 1]
percent = {name: f"{' '.join(f'{each:.0%}' for each in runs)} (lr {RATES[i]:g})" for name, runs, i in zip(("from scratch", "pre-trained"), (scratch, after), best)}
print(f"second follows: {' '.join(f'{each:.0%}' for each in follow)} right; language, two labels each:", percent)
assert lesson.quick() or np.all(after > scratch)

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``bert-greedy``: the longest piece that fits. ``bert-embeddings``: three tables and
# a norm. ``bert-padding``: who may be seen. ``bert-mask-tokens``: 80, 10 and 10 %. ``bert-loss``: the mean over the chosen.
