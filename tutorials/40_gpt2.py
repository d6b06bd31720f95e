r"""
From bytes to text
==================

GPT-2 (Radford et al. 2019) reads any text and says what may come next. Which letters does it read, what does each new one cost,
where does it look, and how is a text drawn from what it says? We merge pairs of bytes by hand, write the whole network in NumPy,
train three small ones on this library's own source, draw what a head attends to, and let them write.

:Prerequisites: :doc:`05_attention`, :doc:`36_igpt`
"""

import lzma
import time
from collections import Counter
from itertools import pairwise, takewhile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import lesson, nn, optim
from minivision.data.texts import load_text
from minivision.generate import generate, probabilities
from minivision.models import entry
from minivision.text import BytePairs
from minivision.text.bpe import byte_letters, pieces_pattern

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# Pairs of bytes
# --------------
#
# With words as letters, there are always words that nobody listed. With bytes nothing is unknown, but texts are long. In between
# (Sennrich et al. 2016; GPT-2, section 2.2): begin with the 256 bytes, and again and again make one token of the most frequent
# pair, within pieces such as a word with the space before it. Vocabulary files write that space as Ġ.


def joined(word, pair):  # from left to right
    found = []
    for token in word:
        if found and (found[-1], token) == pair:
            found[-1] += token
        else:
            found.append(token)
    return tuple(found)


def learned(text, count):  # the first merges; of equally frequent pairs, that whose tokens have the smaller numbers
    letters, merges = byte_letters(), []
    number = {letter: i for i, letter in enumerate(sorted(letters))}
    words = Counter(tuple(letters[byte] for byte in piece.encode()) for piece in pieces_pattern().findall(text))
    for _ in range(count):
        seen = Counter(pair for word in words.elements() for pair in pairwise(word))
        merges.append(best := max(seen, key=lambda pair: (seen[pair], -number[pair[0]], -number[pair[1]])))
        number.setdefault("".join(best), len(number))
        words = Counter({joined(word, best): times for word, times in words.items()})
    return merges


small = "the next token of the text is the likeliest one, then the next one, then the one that is next to it in the text"
merges = learned(small, 12)
print(", ".join(f"{a} {b}" for a, b in merges))
assert merges == [*BytePairs.train(small, 256 + 1 + 12).ranks]  # one more token is <|endoftext|>

# %%
# Our text is this library's source, its last tenth held out. Whatever is written comes back, in as many tokens as bytes where
# the training text had no such pair.

place = f"text:{Path(mv.__file__).parent / 'text'}" if lesson.quick() else "text"
data = load_text(place, 320 if lesson.quick() else 1024)
texts = [data.tokens.decode(part) for part in (data.train, data.test)]
for text in ("def forward(self, x):", "naïve café", "東京", "🙂"):
    assert data.tokens.decode(data.tokens.encode(text)) == text
    print(f"{text}: {len(text.encode())} bytes, {len(data.tokens.encode(text))} tokens")

# %%
# How large a vocabulary? The loss of a token cannot say: a longer token is harder to guess, and stands for more. *Bits per byte*
# can, for a text has the same bytes for all:
#
# .. math:: \frac{-\sum_n \log_2 p(s_n \mid s_1 \dots s_{n-1})}{\text{bytes of the text}} .
#
# The plainest model counts how often each token came. The smallest vocabulary is best per token, and worst per byte.


def encoded(size):  # by the vocabulary as it was when it had `size` tokens
    table = data.tokens.vocabulary
    known = takewhile(lambda pair: table["".join(pair)] < size, data.tokens.ranks)
    tokeniser = BytePairs({token: number for token, number in table.items() if number < size}, [*known])
    return tokeniser, *(np.array(tokeniser.encode(text)) for text in texts)


def by_frequency(train, test, size):  # -> bits, of all tokens together
    counts = np.bincount(train, minlength=size) + 1  # each was seen once more: none is impossible
    return -np.log2(counts / counts.sum())[test].sum()


SIZES = [256, 300] if lesson.quick() else [256, 320, 512, 1024]
vocabularies = {size: encoded(size) for size in SIZES}
count = np.array([len(test) for _, _, test in vocabularies.values()])
bits = np.array([by_frequency(train, test, size) for size, (_, train, test) in vocabularies.items()])
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.4), layout="constrained")
shown = {"bytes per token": data.test_bytes / count, "bits per token": bits / count, "bits per byte": bits / data.test_bytes}
for axis, (title, values) in zip(axes, shown.items(), strict=True):
    axis.semilogx(SIZES, values, "o-", base=2, markersize=4)
    axis.set(xlabel="tokens in the vocabulary", title=title, ylim=(0, 1.1 * values.max()))
    assert np.all(np.diff(values if title != "bits per byte" else -values) > 0)

# %%
# The network
# -----------
#
# Section 2.3: a norm stands at the input of each branch, and one more behind all blocks; positions are learned; the table of
# tokens is also what turns the last vectors into logits. In NumPy, for one text (T), with what we want to see of it:


def gpt2(model, tokens):  # -> weights of all heads (L, H, T, T); logits (L + 1, T, V), read before and behind each block
    w = {key.removeprefix("transformer."): value for key, value in model.state_dict().items()}
    T, D, H, heads = len(tokens), model.config.n_embd, model.config.n_head, []

    def linear(x, name):
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    stream = [w["wte.weight"][tokens] + w["wpe.weight"][:T]]  # (T, D)
    for h in (f"h.{i}" for i in range(model.config.n_layer)):
        q, k, v = linear(norm(stream[-1], f"{h}.ln_1"), f"{h}.attn.c_attn").reshape(T, 3, H, -1).transpose(1, 2, 0, 3)
        p = np.exp(np.where(np.tri(T), q @ k.swapaxes(1, 2) / (D / H) ** 0.5, -np.inf))  # (H, T, T)
        heads.append(p / p.sum(-1, keepdims=True))
        x = stream[-1] + linear((heads[-1] @ v).transpose(1, 0, 2).reshape(T, D), f"{h}.attn.c_proj")
        z = linear(norm(x, f"{h}.ln_2"), f"{h}.mlp.c_fc")
        gelu = z / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (z + 0.044715 * z**3)))
        stream.append(x + linear(gelu, f"{h}.mlp.c_proj"))
    return np.stack(heads), np.stack([norm(x, "ln_f") @ w["wte.weight"].T for x in stream])


model, tokens = mv.create_model("gpt2_tiny").double(), rng.integers(512, size=50)
np.testing.assert_allclose(gpt2(model, tokens)[1][-1], model(tokens[None]).numpy()[0], rtol=1e-9, atol=1e-12)

# %%
# A block has :math:`4d^2 + 4d` numbers for attention, :math:`8d^2 + 5d` for the two layers behind it, :math:`4d` for norms. With
# :math:`V` tokens, :math:`N` places and the last norm: :math:`12Ld^2 + 13Ld + (V + N)d + 2d`. For each token every weight of a
# matrix is multiplied and added, and :math:`n` keys and values are met: :math:`24Ld^2 + 4Lnd + 2Vd` operations. (The library
# counts the whole square of scores, also what the mask hides; nothing is drawn or multiplied for it.)


def operations(c, n):
    return 24 * c.n_layer * c.n_embd**2 + 4 * c.n_layer * n * c.n_embd + 2 * c.vocab_size * c.n_embd


for name in ("gpt2", "gpt2_medium", "gpt2_large", "gpt2_xl"):
    c, whole = entry(name).config, mv.create_model(name)
    L, d, V, N = c.n_layer, c.n_embd, c.vocab_size, c.n_positions
    assert mv.count_parameters(whole) == 12 * L * d**2 + 13 * L * d + (V + N) * d + 2 * d
    assert 2 * mv.profile(whole, (32,)).macs == 32 * operations(c, 32)
    cost = f"{operations(c, N) / 1e9:.2f} GFLOP for token {N:,}, a memory of {4 * 2 * L * N * d / 1e6:.0f} MB"
    print(f"{name:>11}: {mv.count_parameters(whole):>13,} numbers, {cost}")

# %%
# The memory has the keys and values of what was read, :math:`2Lnd` numbers: no place looks ahead, so they stay as they are when
# a token is appended. Only the new one has to be read. GPT-2 small with untrained weights, the likeliest token each time, with
# its memory and without:


def appended(tokens, count, memory):  # -> all tokens, logits of the new ones, seconds
    known, logits, start = [*tokens], [], time.process_time()
    for step in range(count):
        unread = known[-1:] if memory and step else known
        logits.append(model(np.array([unread]), memory, last=True).numpy()[0, -1])
        known.append(int(logits[-1].argmax()))  # appended, and read next
    return known, np.array(logits), time.process_time() - start


START, NEW = (8, 4) if lesson.quick() else (96, 8)
c, tokens = entry("gpt2").config, rng.integers(300, size=START).tolist()
model = mv.create_model("gpt2", **({"n_layer": 1, "vocab_size": 300} if lesson.quick() else {})).eval()
with mv.no_grad():
    same = [model(np.array([[*tokens[:-4], *end]])).numpy()[0, :-4] for end in ([1, 2, 3, 4], [5, 6, 7, 8])]
    (anew, wanted, slow), (known, got, fast) = (appended(tokens, NEW, memory) for memory in (None, model.memory()))
np.testing.assert_array_equal(*same)  # to the bit: the future is not there
assert known == anew == [*tokens, *generate(model, tokens, NEW, temperature=0.0)]
off, allowed = np.abs(got - wanted).max() / np.abs(wanted).max(), np.finfo(np.float32).eps ** (2 / 3)
assert off < allowed
steps = np.arange(START, START + NEW)
fewer = (steps * operations(c, steps)).sum() / (START * operations(c, START) + operations(c, steps[1:]).sum())
lesson.claim("L1", f"{c.n_embd} wide, {c.n_layer} layers, {c.n_positions:,} positions, {c.vocab_size:,} tokens; with {NEW} tokens "
    f"appended to {START}, each read alone, logits are those of reading all anew, up to {off:.0e} of the largest (allowed "
    f"{allowed:.0e}), for 1/{fewer:.1f} of the operations and 1/{slow / fast:.1f} of the time",
    "holds" if (c.n_embd, c.n_layer, c.n_positions, c.vocab_size) == (768, 12, 1024, 50257) else "does not hold here")  # fmt: skip
del model, whole

# %%
# Training
# --------
#
# Three networks of two blocks, with 48 places, learn the library's source. (Weights of so narrow ones begin larger than GPT-2's
# 0.02.) What must they beat? How often each byte or token comes, alone and after the one before it. And xz finds anew whatever
# it has read, in all of the training text.

PLACES, SEEDS, STEPS = (48, 1, 3) if lesson.quick() else (48, 3, 700)
V = SIZES[len(SIZES) // 2]
tokeniser, train, test = vocabularies[V]


def trained(seed):
    mv.manual_seed(seed)
    draw, model = np.random.default_rng(seed), mv.create_model("gpt2_tiny", n_layer=2, vocab_size=V, n_positions=PLACES)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            nn.init.normal_(weight, std=0.1 if "wte" in name or "wpe" in name else 0.03 if "proj" in name else 0.06)
    optimiser = optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.1)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 0.008 * min(1, (step + 1) / 20) * (1 - step / STEPS)
        optimiser.zero_grad()
        model.loss(train[draw.integers(len(train) - PLACES, size=(16, 1)) + np.arange(PLACES)]).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


def after_one(train, test, size):  # bits, of all; p(b | a) = (count of ab + 10 p(b)) / (count of a + 10)
    pairs = np.bincount(train[:-1] * size + train[1:], minlength=size**2).reshape(size, size)
    p = (np.bincount(train, minlength=size) + 1) / (len(train) + size)
    return -np.log2((pairs + 10 * p) / (pairs.sum(1, keepdims=True) + 10))[test[:-1], test[1:]].sum()


models = [trained(seed) for seed in range(SEEDS)]
pieces = test[: len(test) // PLACES * PLACES].reshape(-1, PLACES)
with mv.no_grad():
    nats = np.array([np.mean([model.loss(piece[None]).item() for piece in pieces]) for model in models])
ours = nats / np.log(2) * len(test) / data.test_bytes
packed = [len(lzma.compress(text.encode())) for text in (texts[0] + texts[1], texts[0])]
octets, tokens = vocabularies[256][1:], (train, test)
told = {f"{name}, {way}": rule(*both, size) / data.test_bytes for name, both, size in (("byte", octets, 256), ("token", tokens, V))
        for way, rule in (("by frequency", by_frequency), ("after the one before", after_one))}  # fmt: skip
told |= {"xz, after the training text": 8 * (packed[0] - packed[1]) / data.test_bytes, "GPT-2, the worst": ours.max()}
for name, value in told.items():
    print(f"{name:>27}: {value:.2f} bits per byte")
assert lesson.quick() or ours.max() < told["token, after the one before"] < told["byte, after the one before"]

# %%
# Where a head looks
# ------------------
#
# On the left the weight that each head gives to the token so many places back, over held-out pieces, and what it would be if all
# so far got the same. On the right the head that looks most at the token before, for two lines of code: a token's row says where
# it looks. The first block gathers the neighbourhood, the second looks at all of it.

some, BACK = pieces[:: len(pieces) // (2 if lesson.quick() else 40)], np.arange(12)
seen = [[gpt2(model, piece) for piece in some] for model in models]
maps = np.array([np.mean([heads for heads, _ in each], axis=0) for each in seen])  # (S, L, H, T, T)
rows = np.arange(len(BACK), PLACES)
back = np.stack([maps[..., rows, rows - n].mean(-1) for n in BACK], axis=-1)  # (S, L, H, 12)
best, even = back[:, 0, back[0, 0, :, 1].argmax()], np.mean(1 / (rows + 1))
best = np.array([each[0, each[0, :, 1].argmax()] for each in back])  # (S, 12): of the first block
print(f"weight on the token before: {best[:, 1].round(2)} by the best head of each network, {even:.2f} if all got the same")
assert lesson.quick() or (np.all(best.argmax(1) == 1) and best[:, 1].min() > 3 * even)
line, head = tokeniser.encode("    def forward(self, x: Any) -> Any:\n        return self.norm(x)\n"), back[0, 0, :, 1].argmax()
names = [tokeniser.decode([token]).replace("\n", "↵").replace(" ", "·") for token in line]
figure, axes = plt.subplots(1, 2, figsize=(7.5, 4), layout="constrained", width_ratios=[1, 1.4])
for block, colour in enumerate(("C0", "C1")):
    axes[0].plot(BACK, back[0, block].T, "o-", color=colour, markersize=3, label=[f"block {block + 1}", *[None] * 3])
axes[0].axhline(even, color="0.5", ls="--", label="all the same")
axes[0].set(title="Eight heads of a network", xlabel="places back", ylabel="weight", ylim=(0, None), xticks=BACK[::2])
axes[0].legend(fontsize=8)
shown = axes[1].imshow(gpt2(models[0], line)[0][0, head], cmap="viridis", vmin=0)
axes[1].set(title=f"Block 1, head {head + 1}", xlabel="is looked at", ylabel="looks")
axes[1].set_xticks(range(len(line)), names, rotation=90, family="monospace", fontsize=7)
axes[1].set_yticks(range(len(line)), names, family="monospace", fontsize=7)
figure.colorbar(shown, label="weight", shrink=0.7)

# %%
# And what would the last norm and the table of tokens say to the stream in front of the blocks, and behind each?

right = np.array([[logits[:, np.arange(PLACES - 1), piece[1:]] - np.log(np.exp(logits[:, :-1]).sum(-1))
                   for piece, (_, logits) in zip(some, each, strict=True)] for each in seen])  # fmt: skip
lens = -right.mean((1, 3)) / np.log(2)  # (S, L + 1)
print(f"bits per token, read before the blocks and behind each: {lens.mean(0).round(2)}")
assert lesson.quick() or np.all(np.diff(lens) < 0)

# %%
# Which token?
# ------------
#
# The likeliest? One drawn among the 40 likeliest (*top-k*, Fan et al. 2018)? Among the fewest that together have the share
# :math:`p` (*top-p*, Holtzman et al. 2020)? Libraries differ on the token that crosses that share: transformers keep it,
# OpenAI's code for GPT-2 does not.

with mv.no_grad():
    logits = models[0](np.array([tokeniser.encode("    return")])).numpy()[0, -1]
p = np.sort(probabilities(logits))[::-1]
for share in (0.3, 0.6, 0.9):
    kept = [int((np.cumsum(p) - p < share).sum()), max(1, int((np.cumsum(p) <= share).sum()))]
    assert kept == [np.count_nonzero(probabilities(logits, top_p=share, crossing=crossing)) for crossing in (True, False)]
    print(f"top-p {share}: {kept[0]} tokens stay with {p[: kept[0]].sum():.3f}, or {kept[1]} with {p[: kept[1]].sum():.3f}")

# %%
# A text *loops* where its last quarter is one piece, written three times or more. A weaker sign: the share of its runs of four
# tokens that were there before. We ask both also of what people wrote.

PROMPTS, LENGTH = ["\n\ndef", "    return", "class", '    """'], 64 if lesson.quick() else 400
WAYS = {"the likeliest": {"temperature": 0.0}, "top-p 0.9": {"top_p": 0.9}, "top-k 40": {"top_k": 40}}


def loops(text):
    last = text[-len(text) // 4 :]
    return any(last[n:] == last[:-n] for n in range(1, len(last) // 3 + 1))


def repeated(text):
    fours = [*zip(text, text[1:], text[2:], text[3:], strict=False)]
    return 1 - len(set(fours)) / len(fours)


written = {way: [[[*generate(model, tokeniser.encode(prompt), LENGTH, seed=i, **settings)] for i, prompt in enumerate(PROMPTS)]
                 for model in models] for way, settings in WAYS.items()}  # fmt: skip
for way, texts in written.items():
    print(f"--- {way}\n{tokeniser.decode(texts[0][1][:60])}")
written["people"] = [test[: len(test) // LENGTH * LENGTH].reshape(-1, LENGTH)[:50].tolist()]
looped = {way: np.array([np.mean([*map(loops, each)]) for each in texts]) for way, texts in written.items()}
figure, axis = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
for at, texts in enumerate(written.values()):
    for kind, mark, label in ((False, "C0o", "does not loop"), (True, "C3x", "loops")):
        values = [repeated(text) for each in texts for text in each if loops(text) == kind]
        axis.plot(at + rng.uniform(-0.2, 0.2, len(values)), values, mark, markersize=4, label=None if at else label)
axis.set(ylabel="runs of four seen before", ylim=(-0.03, 1.03), title="Each mark is a text")
axis.set_xticks(range(len(written)), written)
axis.legend(fontsize=9)
told = "; ".join(f"{way}: {values.mean():.0%} of texts loop" for way, values in looped.items())
L2 = looped["the likeliest"].min() >= 0.5 and looped["top-k 40"].max() == 0
lesson.claim("L2", f"{SEEDS} networks, {len(PROMPTS)} texts of {LENGTH} tokens from each; {told}",
             "holds at this scale" if L2 else "does not hold here")  # fmt: skip

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``gpt2-merges``: a word by the merges that there are. ``gpt2-probabilities``:
# temperature, top-k and top-p. ``gpt2-memory``: keys and values that stay. ``gpt2-attend``: a query that sees no future.
# ``gpt2-loss``: nats per token.
