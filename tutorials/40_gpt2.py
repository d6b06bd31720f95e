r"""
From bytes to text
==================

GPT-2 (Radford et al. 2019) reads any text and says what may come next. Which letters does it read, what does each new one cost,
where does it look, and how is a text drawn from what it says? We merge pairs of bytes by hand, write the network in NumPy,
train three small ones on this library's own source, draw what a head attends to, and let them write.

:Prerequisites: :doc:`05_attention`, :doc:`38_transformer`
"""

import lzma
import time
from collections import Counter
from itertools import pairwise, takewhile

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import generate, lesson, nn, optim, text
from minivision.data.texts import load_text
from minivision.text.bpe import BytePairs, byte_letters, pieces_pattern

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# Pairs of bytes
# --------------
#
# With words as letters, there are always words that nobody listed. With bytes nothing is unknown, but texts are long. In
# between (Sennrich et al. 2016; GPT-2, section 2.2): begin with the 256 bytes, and again and again make one token of the most
# frequent pair, within pieces such as a word with the space before it. Vocabulary files write that space as Ġ.


def learned(sentence, count):  # the first merges; of equally frequent pairs, that whose tokens have the smaller numbers
    number, merges = {letter: i for i, letter in enumerate(sorted(byte_letters()))}, []
    words = [[byte_letters()[byte] for byte in piece.encode()] for piece in pieces_pattern().findall(sentence)]
    for _ in range(count):
        seen = Counter(pair for word in words for pair in pairwise(word))
        merges.append(best := max(seen, key=lambda pair: (seen[pair], -number[pair[0]], -number[pair[1]])))
        number.setdefault("".join(best), len(number))
        for word in words:
            for i in range(len(word)):
                if tuple(word[i : i + 2]) == best:
                    word[i : i + 2] = ["".join(best)]
    return merges


small = "the next token of the text is the likeliest one, then the next one, then the one that is next to it in the text"
print(", ".join(f"{a} {b}" for a, b in learned(small, 12)))
assert learned(small, 12) == [*BytePairs.train(small, 256 + 1 + 12).ranks]  # one more token is <|endoftext|>

# %%
# Our text is this library's source, its last tenth held out. Whatever is written comes back. How large a vocabulary? The loss
# of a token cannot say: a longer token is harder to guess, and stands for more. *Bits per byte* can, for a text has the same
# bytes for all:
#
# .. math:: \frac{-\sum_n \log_2 p(s_n \mid s_1 \dots s_{n-1})}{\text{bytes of the text}} .
#
# Two plain models are how often each token came, and how often after the one before it. For both the smallest vocabulary is
# the best per token, and the worst per byte.

SIZES = [256, 300, 320] if lesson.quick() else [256, 320, 384, 512]
data = load_text(f"text:{text.__path__[0]}" if lesson.quick() else "text", SIZES[-1] + 1)  # <|endoftext|>
texts, table = [data.tokens.decode(part) for part in (data.train, data.test)], data.tokens.vocabulary
for written in ("def forward(self, x):", "naïve café", "東京", "🙂"):
    assert data.tokens.decode(data.tokens.encode(written)) == written
    print(f"{written}: {len(written.encode())} bytes, {len(data.tokens.encode(written))} tokens")
costs = []
for size in SIZES:
    known = takewhile(lambda pair, size=size: table["".join(pair)] < size, data.tokens.ranks)
    tokeniser = BytePairs({token: number for token, number in table.items() if number < size}, [*known])
    train, test = (np.array(tokeniser.encode(part)) for part in texts)
    p = (np.bincount(train, minlength=size) + 1) / (len(train) + size)
    pairs = np.bincount(train[:-1] * size + train[1:], minlength=size**2).reshape(size, size)
    after = (pairs + 10 * p) / (pairs.sum(1, keepdims=True) + 10)  # p(b | a), of what was seen as of p(b)
    bits = -np.log2([p[test[1:]], after[test[:-1], test[1:]]]).sum(1)
    costs.append([data.test_bytes / len(test), *bits / len(test), *bits / data.test_bytes])
    print("{:>5} tokens of {:.2f} bytes: {:.2f} and {:.2f} bits per token, {:.2f} and {:.2f} per byte".format(size, *costs[-1]))
assert np.all(np.diff(costs, axis=0) * [1, 1, 1, -1, -1] > 0)

# %%
# The network
# -----------
#
# Section 2.3: a norm stands at the input of each branch, and one more behind all blocks; positions are learned; the table of
# tokens is also what turns the last vectors into logits. In NumPy, for one text (T):


def gpt2(model, tokens):  # -> logits (T, V), weights of all heads (L, H, T, T)
    w = {key.removeprefix("transformer."): value for key, value in model.state_dict().items()}
    T, D, H, heads = len(tokens), model.config.n_embd, model.config.n_head, []

    def linear(x, name):
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    def norm(x, name):
        normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return normed * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["wte.weight"][tokens] + w["wpe.weight"][:T]  # (T, D)
    for h in (f"h.{i}" for i in range(model.config.n_layer)):
        q, k, v = linear(norm(x, f"{h}.ln_1"), f"{h}.attn.c_attn").reshape(T, 3, H, -1).transpose(1, 2, 0, 3)  # (H, T, D_h)
        p = np.exp(np.where(np.tri(T), q @ k.swapaxes(1, 2) / (D / H) ** 0.5, -np.inf))
        heads.append(p / p.sum(-1, keepdims=True))
        x = x + linear((heads[-1] @ v).transpose(1, 0, 2).reshape(T, D), f"{h}.attn.c_proj")
        z = linear(norm(x, f"{h}.ln_2"), f"{h}.mlp.c_fc")
        x = x + linear(z / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (z + 0.044715 * z**3))), f"{h}.mlp.c_proj")
    return norm(x, "ln_f") @ w["wte.weight"].T, np.stack(heads)


model, tokens = mv.create_model("gpt2_tiny").double(), rng.integers(512, size=50)
np.testing.assert_allclose(gpt2(model, tokens)[0], model(tokens[None]).numpy()[0], rtol=1e-9, atol=1e-12)

# %%
# A block has :math:`4d^2 + 4d` numbers for attention, :math:`8d^2 + 5d` for the two layers behind it, :math:`4d` for norms.
# With :math:`V` tokens, :math:`N` places and the last norm: :math:`12Ld^2 + 13Ld + (V + N)d + 2d`. A token costs
# :math:`24Ld^2 + 4Lnd + 2Vd` operations where it meets :math:`n` keys. (The library counts the whole square of scores, also
# what the mask hides, and multiplies nothing for it.) No place looks ahead, so keys and values, :math:`2Lnd` numbers, stay as
# they are when a token is appended: with a memory of them only the new one has to be read.

for name in ("gpt2_xl", "gpt2_large", "gpt2_medium", "gpt2"):
    c = (model := mv.create_model(name)).config
    L, d, V, N = c.n_layer, c.n_embd, c.vocab_size, c.n_positions
    assert mv.count_parameters(model) == 12 * L * d**2 + 13 * L * d + (V + N) * d + 2 * d
    operations = 24 * L * d**2 + 4 * L * np.array([32, N]) * d + 2 * V * d
    assert 2 * mv.profile(model, (32,)).macs == 32 * operations[0]
    work, memory = operations[1] / 1e9, 4 * 2 * L * N * d / 1e6
    print(f"{name:>11}: {mv.count_parameters(model):>13,} numbers, {work:.2f} GFLOP for token {N:,}, memory {memory:.0f} MB")
START, NEW = (8, 4) if lesson.quick() else (120, 8)
model = mv.create_model("gpt2", **({"n_layer": 1, "vocab_size": 300} if lesson.quick() else {})).eval()  # untrained
tokens = rng.integers(300, size=START).tolist()
known, logits, memory, start = [*tokens], [], model.memory(), 0.0
with mv.no_grad():
    same = [model(np.array([[*tokens[:-4], *end]])).numpy()[0, :-4] for end in ([1, 2, 3, 4], [5, 6, 7, 8])]
    for step in range(NEW):
        logits.append(model(np.array([known[-1:] if step else known]), memory, last=True).numpy()[0, -1])
        known.append(int(logits[-1].argmax()))  # appended, and read next
        start = start or time.process_time()  # behind the first step, which reads the prompt
    one, start = (time.process_time() - start) / (NEW - 1), time.process_time()
    wanted = model(np.array([known[:-1]])).numpy()[0, START - 1 :]
    slower = (time.process_time() - start) / one
np.testing.assert_array_equal(*same)  # to the bit: the future is not there
assert known[START:] == [*generate.generate(model, tokens, NEW, temperature=0.0)]
off, allowed = np.abs(logits - wanted).max() / np.abs(wanted).max(), np.finfo(np.float32).eps ** (2 / 3)
assert (off < allowed, d, L, N, V) == (True, 768, 12, 1024, 50257)
lesson.claim("L1", f"{d} wide, {L} layers, {N:,} positions, {V:,} tokens; {NEW} tokens appended to {START}, each read alone: "
    f"logits are those of reading all anew up to {off:.0e} of the largest (allowed {allowed:.0e}); reading all is "
    f"{START + NEW - 1} times as many operations and took {slower:.0f} times as long")  # fmt: skip

# %%
# Training
# --------
#
# Three networks of two blocks learn the library's source. (Weights of so narrow ones begin larger than GPT-2's 0.02.) What
# must they beat? The tables above. (Not xz, which finds again whatever it has read in all of the training text.)

V, PLACES, SEEDS, STEPS = (SIZES[-1], 48, 1, 3) if lesson.quick() else (SIZES[-1], 48, 3, 700)
pieces = test[: len(test) // (16 * PLACES) * 16 * PLACES].reshape(-1, 16, PLACES)
models = []
for seed in range(SEEDS):
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
    models.append(model.eval())
with mv.no_grad():
    nats = np.array([np.mean([model.loss(batch).item() for batch in pieces]) for model in models])
packed = [len(lzma.compress(part.encode())) for part in (texts[0] + texts[1], texts[0])]
ours, xz = (nats / np.log(2) * len(test) / data.test_bytes).round(2), 8 * (packed[0] - packed[1]) / data.test_bytes
print(f"bits per byte: bytes after one {costs[0][-1]:.2f}, tokens after one {costs[-1][-1]:.2f}, xz {xz:.2f}, GPT-2 {ours}")
assert lesson.quick() or xz < ours.max() < costs[-1][-1] < costs[0][-1]

# %%
# Where a head looks
# ------------------
#
# Left: the weight that each head gives to the token so many places back, over held-out pieces. Right: the head that looks
# most at the token before, for two lines of code; a token's row says where it looks. (Dashed: all so far get the same.)

BACK, row = np.arange(12), np.arange(12, PLACES)
maps = np.array([np.mean([gpt2(model, piece)[1] for piece in pieces[:3].reshape(-1, PLACES)], axis=0) for model in models])
back = np.stack([maps[..., row, row - n].mean(-1) for n in BACK], axis=-1)  # (S, L, H, 12)
best, even = np.array([each[0, each[0, :, 1].argmax()] for each in back]), np.mean(1 / (row + 1))  # (S, 12)
print(f"on the token before: {best[:, 1].round(2)} by the best head of each network, {even:.2f} if all so far got the same")
assert lesson.quick() or (np.all(best.argmax(1) == 1) and best[:, 1].min() > 3 * even)
head, line = back[0, 0, :, 1].argmax(), tokeniser.encode("    def forward(self, x: Any) -> Any:\n        return self.norm(x)\n")
names = [tokeniser.decode([token]).replace("\n", "↵").replace(" ", "·") for token in line]
figure, (axis, drawn) = plt.subplots(1, 2, figsize=(7.5, 4), layout="constrained", width_ratios=[1, 1.4])
axis.plot(BACK, back[0, 0].T, "C0o-", BACK, back[0, 1].T, "C1o-", markersize=3)
axis.axhline(even, color="0.5", ls="--")
axis.set(title="Block 1 blue, block 2 orange", xlabel="places back", ylabel="weight", ylim=(0, None), xticks=BACK[::2])
shown = drawn.imshow(gpt2(models[0], line)[1][0, head], vmin=0, vmax=0.5)
drawn.set(title=f"Block 1, head {head + 1}", xlabel="token that is looked at", ylabel="token that looks")
drawn.set_xticks(range(len(line)), names, rotation=90, family="monospace", fontsize=7)
drawn.set_yticks(range(len(line)), names, family="monospace", fontsize=7)
figure.colorbar(shown, label="weight", shrink=0.7, extend="max")

# %%
# Which token?
# ------------
#
# The likeliest? One drawn among the 40 likeliest (*top-k*, Fan et al. 2018)? Among the fewest that together have the share
# :math:`p` (*top-p*, Holtzman et al. 2020)? The token that crosses the share stays in transformers, not in OpenAI's code. A
# text has run into a *loop* where its last quarter says nothing new: nine of ten runs of four tokens were there before.


def old(text):  # the share of the last quarter's runs of four that were there before
    fours = [*zip(text, text[1:], text[2:], text[3:], strict=False)]
    return np.mean([fours.index(four) < i for i, four in enumerate(fours) if i >= 3 * len(fours) // 4])


logits = gpt2(models[0], tokeniser.encode("    return"))[0][-1]
p = np.sort(generate.probabilities(logits))[::-1]
kept = [int((np.cumsum(p) - p < 0.9).sum()), max(1, int((np.cumsum(p) <= 0.9).sum()))]
assert kept == [np.count_nonzero(generate.probabilities(logits, top_p=0.9, crossing=way)) for way in (True, False)]
print(f"top-p 0.9: {kept[0]} tokens stay with {p[: kept[0]].sum():.4f}, or {kept[1]} with {p[: kept[1]].sum():.4f}")
PROMPTS, LENGTH = ["\n\ndef", "    return", "class", '    """'], 96 if lesson.quick() else 384
found = {"people": np.array([[old(text) for text in pieces.reshape(-1, LENGTH).tolist()]])}
for way, settings in {"the likeliest": {"temperature": 0.0}, "top-p 0.9": {"top_p": 0.9}, "top-k 40": {"top_k": 40}}.items():
    texts = [[[*generate.generate(model, tokeniser.encode(prompt), LENGTH, seed=i, **settings)]
              for i, prompt in enumerate(PROMPTS)] for model in models]  # fmt: skip
    found[way] = np.array([[old(text) for text in each] for each in texts])  # (S, prompts)
    print(f"--- {way}\n{tokeniser.decode(texts[0][1][:50])}")
figure, axis = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
for at, values in enumerate(found.values()):
    axis.plot(at + rng.uniform(-0.2, 0.2, values.size), values.ravel(), "o", markersize=4, alpha=0.7)
axis.axhline(0.9, color="0.5", ls="--")
axis.set(ylabel="not new in the last quarter", title="Each dot is a text", xticks=range(4), xticklabels=found)
loops = {way: (values >= 0.9).mean(1) for way, values in found.items()}  # of each network
holds = "holds at this scale" if loops["the likeliest"].min() > 0.5 and not loops["top-k 40"].any() else "does not hold here"
told = "; ".join(f"{way} {values.mean():.0%}" for way, values in loops.items())
lesson.claim("L2", f"of {len(PROMPTS)} texts of {LENGTH} tokens by each of {SEEDS} networks loop: {told}", holds)

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``gpt2-merges``: a word by known merges. ``gpt2-memory``: keys and values that
# stay. ``gpt2-attend``: no future. ``gpt2-loss``: nats per token. ``gpt2-probabilities``: what is drawn from.
