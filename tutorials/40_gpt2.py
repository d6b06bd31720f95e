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

# %%
# Pairs
# -----
#
# Words as letters: there are always words that nobody listed. Bytes as letters: nothing is unknown, but texts are long. In
# between (Sennrich et al. 2016; section 2.2): begin with the 256 bytes, and make one token of the most frequent pair, again and
# again, within pieces such as a word with the space before it. Files write that space as Ġ.


def joined(word, pair):
    found = []
    for token in word:
        if found and (found[-1], token) == pair:
            found[-1] += token
        else:
            found.append(token)
    return tuple(found)


def learned(text, count):  # the first merges
    letters, merges = byte_letters(), []
    number = {letter: i for i, letter in enumerate(sorted(letters))}  # of equally frequent pairs, that of the smaller numbers
    words = Counter(tuple(letters[byte] for byte in piece.encode()) for piece in pieces_pattern().findall(text))
    for _ in range(count):
        seen = Counter()
        for word, times in words.items():
            seen.update({pair: times * n for pair, n in Counter(pairwise(word)).items()})
        merges.append(best := max(seen, key=lambda pair: (seen[pair], -number[pair[0]], -number[pair[1]])))
        number.setdefault("".join(best), len(number))
        words = Counter({joined(word, best): times for word, times in words.items()})
    return merges


small = "the next token of the text is the likeliest one, then the next one, then the one that is next to it in the text"
merges = learned(small, 12)
print(" ".join(f"{a}+{b}" for a, b in merges))
assert merges == [*BytePairs.train(small, 256 + 1 + 12).ranks]  # one number is that of <|endoftext|>

# %%
# A text is what this library's source says, the last tenth held out. More merges, longer tokens; and whatever is written comes
# back, in as many tokens as bytes where no pair is known.

root = Path(mv.__file__).parent
data = load_text(f"text:{root / 'text'}" if lesson.quick() else "text", 320 if lesson.quick() else 1024)
train_text, test_text = data.tokens.decode(data.train), data.tokens.decode(data.test)


def first(size):  # the vocabulary as it was when it had `size` tokens
    table = data.tokens.vocabulary
    known = takewhile(lambda pair: table["".join(pair)] < size, data.tokens.ranks)
    return BytePairs({token: n for token, n in table.items() if n < size}, [*known])


for written in ("def forward(self, x):", "naïve café", "東京", "🙂👩‍🚀"):
    numbers = data.tokens.encode(written)
    assert data.tokens.decode(numbers) == written
    print(f"{written}: {len(written.encode())} bytes, {len(numbers)} tokens")

# %%
# What is a good vocabulary? The loss of a token cannot say: a longer token is harder to guess, and saves more. *Bits per byte*
# can, for the bytes of a text are the same for all,
#
# .. math:: \frac{-\sum_n \log_2 p(s_n \mid s_1 \dots s_{n-1})}{\text{bytes of the text}} .
#
# We take the plainest model, how often each token came, with one more for each: the best vocabulary per token is the worst per
# byte.


def by_frequency(train, test, size):  # -> nats in all
    counts = np.bincount(train, minlength=size) + 1
    return -np.log(counts / counts.sum())[test].sum()


SIZES = [256, 320] if lesson.quick() else [256, 320, 512, 1024]
rows = []
for size in SIZES:
    train, test = (np.array(first(size).encode(text)) for text in (train_text, test_text))
    nats = by_frequency(train, test, size)
    rows.append([len(test_text.encode()) / len(test), nats / len(test), nats / np.log(2) / data.test_bytes])
per_token, nats, bits = np.array(rows).T
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.4), layout="constrained")
for axis, values, title in zip(axes, (per_token, nats, bits), ("bytes per token", "nats per token", "bits per byte"), strict=True):
    axis.semilogx(SIZES, values, "o-", base=2, markersize=4)
    axis.set(xlabel="vocabulary", title=title, ylim=(0, 1.1 * values.max()))
assert np.all(np.diff(per_token) > 0)
assert np.all(np.diff(nats) > 0)
assert np.all(np.diff(bits) < 0)

# %%
# The network
# -----------
#
# Section 2.3: positions are learned, a norm stands at the input of each branch and one behind all blocks, and the table of
# tokens is also what turns the last vectors into logits. In NumPy, for one text, with what a picture will need:


def gpt2(model, tokens):  # (T) -> logits (T, V); weights of the heads (L, H, T, T); the stream before and behind blocks (L + 1, T, D)
    w = {key.removeprefix("transformer."): value for key, value in model.state_dict().items()}
    T, (_, D), heads, attended = len(tokens), w["wte.weight"].shape, model.config.n_head, []

    def linear(x, name):
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    stream = [w["wte.weight"][tokens] + w["wpe.weight"][:T]]
    for h in (f"h.{i}" for i in range(model.config.n_layer)):
        qkv = linear(norm(stream[-1], f"{h}.ln_1"), f"{h}.attn.c_attn")
        q, k, v = qkv.reshape(T, 3, heads, -1).transpose(1, 2, 0, 3)  # (H, T, D_h) each
        p = np.exp(np.where(np.tri(T), q @ k.swapaxes(1, 2) / (D / heads) ** 0.5, -np.inf))
        attended.append(p / p.sum(-1, keepdims=True))
        x = stream[-1] + linear((attended[-1] @ v).transpose(1, 0, 2).reshape(T, D), f"{h}.attn.c_proj")
        z = linear(norm(x, f"{h}.ln_2"), f"{h}.mlp.c_fc")
        gelu = z / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (z + 0.044715 * z**3)))
        stream.append(x + linear(gelu, f"{h}.mlp.c_proj"))
    read = np.stack([norm(x, "ln_f") @ w["wte.weight"].T for x in stream])  # (L + 1, T, V): what each layer would say
    return read[-1], np.stack(attended), read


rng = np.random.default_rng(0)
model, tokens = mv.create_model("gpt2_tiny").double(), rng.integers(512, size=50)
np.testing.assert_allclose(gpt2(model, tokens)[0], model(tokens[None]).numpy()[0], rtol=1e-9, atol=1e-12)

# %%
# What it costs
# -------------
#
# A block has :math:`4d^2 + 4d` numbers for attention, :math:`8d^2 + 5d` for the two layers behind it and :math:`4d` for its norms.
# With :math:`V` tokens, :math:`N` places and the last norm: :math:`12Ld^2 + 13Ld + (V + N)d + 2d`. Every weight of a matrix is
# multiplied and added once for a token, which also meets :math:`n` keys and values: :math:`24Ld^2 + 4Lnd + 2Vd` operations. (The
# library counts the whole square of scores, also the masked half.) Nothing is drawn for counting.


def operations(c, n):
    return 24 * c.n_layer * c.n_embd**2 + 4 * c.n_layer * n * c.n_embd + 2 * c.vocab_size * c.n_embd


print("          parameters  GFLOP per token  memory, MB")
for name in ("gpt2", "gpt2_medium", "gpt2_large", "gpt2_xl"):
    c, whole = entry(name).config, mv.create_model(name)
    L, d, V, N = c.n_layer, c.n_embd, c.vocab_size, c.n_positions
    assert mv.count_parameters(whole) == 12 * L * d**2 + 13 * L * d + (V + N) * d + 2 * d
    assert 2 * mv.profile(whole, (32,)).macs == 32 * operations(c, 32)
    print(f"{name:>11} {mv.count_parameters(whole):,}  {operations(c, N) / 1e9:.2f}  {4 * 2 * L * N * d / 1e6:.0f}")

# %%
# The memory: keys and values of the tokens that were read, :math:`2Lnd` numbers. What was read does not change when a token is
# appended, for no place looks ahead. So the new token is read alone, and costs no more than one. Here is GPT-2 small with
# untrained weights, by the likeliest token, with the memory and without.


def appended(model, tokens, count, cached):  # -> all tokens, logits of the new ones, seconds
    memory, known, logits, start = model.memory() if cached else None, [*tokens], [], time.process_time()
    for step in range(count):
        unread = known[-1:] if cached and step else known
        logits.append(model(np.array([unread]), memory, last=True).numpy()[0, -1])
        known.append(int(logits[-1].argmax()))  # appended, and read next
    return known, np.array(logits), time.process_time() - start


START, NEW = (8, 4) if lesson.quick() else (96, 8)
c = entry("gpt2").config
model = mv.create_model("gpt2", **({"n_layer": 1, "vocab_size": 300} if lesson.quick() else {})).eval()
tokens = rng.integers(300, size=START).tolist()
with mv.no_grad():
    model(np.array([tokens[:2]]))  # the weights are drawn
    (anew, wanted, slow), (known, got, fast) = (appended(model, tokens, NEW, cached) for cached in (False, True))
    changed = [*tokens[:-4], 5, 6, 7, 8]
    same = [model(np.array([each])).numpy()[0, :-4] for each in (tokens, changed)]
np.testing.assert_array_equal(*same)  # to the bit: the future is not there
assert known == anew == [*tokens, *generate(model, tokens, NEW, temperature=0.0)]
difference, allowed = np.abs(got - wanted).max() / np.abs(wanted).max(), np.finfo(np.float32).eps ** (2 / 3)
assert difference < allowed
counted = sum(n * operations(model.config, n) for n in range(START, START + NEW)) / (
    START * operations(model.config, START) + sum(operations(model.config, n) for n in range(START + 1, START + NEW))
)
lesson.claim("L1", f"{c.n_embd} wide, {c.n_layer} layers, {c.n_positions:,} positions, {c.vocab_size:,} tokens, "
    f"{entry('gpt2').params:,} numbers; {NEW} tokens appended to {START}: with the memory the logits are those of reading all "
    f"anew up to {difference:.0e} of the largest (allowed {allowed:.0e}), for 1/{counted:.1f} of the operations and "
    f"1/{slow / fast:.1f} of the time",
    "holds" if (c.n_embd, c.n_layer, c.n_positions, c.vocab_size) == (768, 12, 1024, 50257) else "does not hold here")  # fmt: skip
del model, whole

# %%
# Training
# --------
#
# Three networks of two blocks, 48 places and 512 tokens learn the library's source. Weights of so narrow ones begin larger
# than GPT-2's 0.02. What must they beat? Bytes by how often they come, and after the byte before; tokens likewise; and xz, which
# looks up everything it has read.

V, PLACES, SEEDS, STEPS = (300, 48, 1, 3) if lesson.quick() else (512, 48, 3, 700)
tokeniser = first(V)
train, test = (np.array(tokeniser.encode(text)) for text in (train_text, test_text))


def trained(seed):
    mv.manual_seed(seed)
    draw, model = np.random.default_rng(seed), mv.create_model("gpt2_tiny", n_layer=2, vocab_size=V, n_positions=PLACES)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            nn.init.normal_(weight, std=0.1 if "wte" in name or "wpe" in name else 0.03 if "proj" in name else 0.06)
    optimiser = optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.1)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 0.008 * min(1, (step + 1) / 20) * (1 - step / STEPS)
        pieces = train[draw.integers(len(train) - PLACES, size=(16, 1)) + np.arange(PLACES)]
        optimiser.zero_grad()
        model.loss(pieces).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


def after_one(train, test, size):  # bits of p(b | a) = (count of ab + 10 p(b)) / (count of a + 10), in all
    pairs = np.bincount(train[:-1] * size + train[1:], minlength=size**2).reshape(size, size)
    p = (np.bincount(train, minlength=size) + 1) / (len(train) + size)
    mixed = (pairs + 10 * p) / (pairs.sum(1, keepdims=True) + 10)
    return -np.log2(mixed[test[:-1], test[1:]]).sum()


def bits_at_places(model):  # bits of the tokens behind 1, 2, ... others (PLACES - 1)
    pieces = test[: len(test) // PLACES * PLACES].reshape(-1, PLACES)
    logits = np.concatenate([model(part[:, :-1]).numpy() for part in np.array_split(pieces, 32)])
    right = np.take_along_axis(logits, pieces[:, 1:, None], -1)[..., 0]
    return (np.log2(np.exp(logits).sum(-1)) - right / np.log(2)).mean(0)


models = [trained(seed) for seed in range(SEEDS)]
with mv.no_grad():
    at_places = np.array([bits_at_places(model) for model in models])
bytes_each = data.test_bytes / len(test)
octets = [np.frombuffer(text.encode(), np.uint8).astype(int) for text in (train_text, test_text)]
packed = [len(lzma.compress(text.encode())) for text in (train_text + test_text, train_text)]
rivals = {
    "all bytes as likely": 8.0,
    "bytes by frequency": by_frequency(*octets, 256) / np.log(2) / data.test_bytes,
    "bytes after the one before": after_one(*octets, 256) / data.test_bytes,
    "tokens by frequency": by_frequency(train, test, V) / np.log(2) / data.test_bytes,
    "tokens after the one before": after_one(train, test, V) / data.test_bytes,
    "xz, after the training text": 8 * (packed[0] - packed[1]) / data.test_bytes,
}
ours = at_places.mean(1) / bytes_each
for name, value in rivals.items():
    print(f"{name:>28}: {value:.2f} bits per byte")
print(f"                       GPT-2: {', '.join(f'{value:.2f}' for value in ours)}")
assert lesson.quick() or ours.max() < rivals["tokens after the one before"]

# %%
# A table of pairs knows one token; the network is better the more it has read.

figure, axis = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
axis.plot(np.arange(1, PLACES), at_places.mean(0), label="GPT-2")
axis.fill_between(np.arange(1, PLACES), at_places.min(0), at_places.max(0), alpha=0.25)
axis.axhline(after_one(train, test, V) / len(test), color="C1", ls="--", label="a table of pairs")
axis.set(xlabel="tokens that were read", ylabel=f"bits per token ({SEEDS} seeds)", ylim=(0, None))
axis.legend(fontsize=9)

# %%
# Where a head looks
# ------------------
#
# The weight that each head gives to the token so many places back, over held-out pieces, beside what it would be if all tokens
# so far got the same. Then the head that looks most at the token before, for a line of code: its row for a token says where
# that token looks.

PIECES, BACK = 2 if lesson.quick() else 40, np.arange(12)
pieces = test[: PIECES * PLACES].reshape(-1, PLACES)
told = [[gpt2(model, piece) for piece in pieces] for model in models]
maps = np.array([np.mean([weights for _, weights, _ in each], axis=0) for each in told])  # (S, L, H, T, T)
rows = np.arange(len(BACK), PLACES)
back = np.stack([maps[..., rows, rows - n].mean(-1) for n in BACK], axis=-1)  # (S, L, H, 12)
best = [np.unravel_index(each[..., 1].argmax(), each.shape[:2]) for each in back]
found, even = np.array([each[at] for each, at in zip(back, best, strict=True)]), np.mean(1 / (rows + 1))
print(f"weight on the token before: {found[:, 1].round(2)} by the best head of each network, {even:.2f} if all got the same")
assert lesson.quick() or (np.all(found.argmax(1) == 1) and found[:, 1].min() > 3 * even)

line = tokeniser.encode("    def forward(self, x: Any) -> Any:\n        return self.norm(x)\n")
names = [tokeniser.decode([token]).replace("\n", "↵").replace(" ", "·") for token in line]
figure, axes = plt.subplots(1, 2, figsize=(7.5, 4), layout="constrained", width_ratios=[1, 1.4])
for layer, colour in enumerate(("C0", "C1")):
    axes[0].plot(BACK, back[0, layer].T, "o-", color=colour, markersize=3, label=[f"block {layer + 1}", *[None] * 3])
axes[0].axhline(even, color="0.5", ls="--", label="all the same")
axes[0].set(title="Eight heads", xlabel="places back", ylabel="weight", ylim=(0, None))
axes[0].legend(fontsize=8)
shown = axes[1].imshow(gpt2(models[0], line)[1][best[0]], cmap="viridis", vmin=0)
axes[1].set(title=f"Block {best[0][0] + 1}, head {best[0][1] + 1}", xlabel="is looked at", ylabel="looks")
axes[1].set_xticks(range(len(line)), names, rotation=90, family="monospace", fontsize=7)
axes[1].set_yticks(range(len(line)), names, family="monospace", fontsize=7)
figure.colorbar(shown, label="weight", shrink=0.7)

# %%
# What would each block say, if the last norm and the table of tokens read the stream behind it? The answer grows.

read = np.array([[r[:, np.arange(PLACES - 1), piece[1:]] - np.log(np.exp(r[:, :-1]).sum(-1))  # (L + 1, T - 1)
                  for piece, (_, _, r) in zip(pieces, each, strict=True)] for each in told])  # fmt: skip
lens = -read.mean((1, 3)) / np.log(2) / bytes_each  # (S, L + 1)
print(f"bits per byte, read from the embeddings and behind each block: {lens.mean(0).round(2)}")
assert lesson.quick() or np.all(np.diff(lens) < 0)

# %%
# Writing
# -------
#
# The likeliest token each time? Or one drawn among the 40 likeliest (Fan et al. 2018), or among the fewest that have nine tenths
# together (Holtzman et al. 2020)? A text *loops* where its last half is a piece written three times or more. And how many of its
# runs of four tokens were there before? That we also ask of what people wrote.

PROMPTS = ["\n\ndef", "    return", "class", '    """', "import", "    for"][: 2 if lesson.quick() else None]
LENGTH = 32 if lesson.quick() else 128
WAYS = {"the likeliest": {"temperature": 0.0}, "top-p 0.9": {"top_p": 0.9}, "top-k 40": {"top_k": 40}}


def loops(tokens):
    last = tokens[len(tokens) // 2 :]
    return any(last[n:] == last[:-n] for n in range(1, len(last) // 3 + 1))


def repeated(tokens):
    fours = [*zip(*(tokens[n:] for n in range(4)), strict=False)]
    return 1 - len(set(fours)) / len(fours)


written = {way: [[[*generate(model, tokeniser.encode(prompt), LENGTH, seed=100 * i + j, **settings)]
                  for j, prompt in enumerate(PROMPTS)] for i, model in enumerate(models)] for way, settings in WAYS.items()}  # fmt: skip
written["held-out text"] = [test[: len(test) // LENGTH * LENGTH].reshape(-1, LENGTH)[: 10 * len(PROMPTS)].tolist()]
looped = {way: np.array([np.mean([loops(text) for text in each]) for each in texts]) for way, texts in written.items()}
share = {way: [repeated(text) for each in texts for text in each] for way, texts in written.items()}
for way in WAYS:
    print(f"--- {way}\n{PROMPTS[0].strip()}{tokeniser.decode(written[way][0][0])}")
for way, values in share.items():
    print(f"{way:>13}: {looped[way].mean():.0%} loop, {np.mean(values):.0%} of runs of four were there before")
figure, axis = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
for at, (way, texts) in enumerate(written.items()):
    for kind, colour, marker in ((False, "C0", "o"), (True, "C3", "x")):
        values = [repeated(text) for each in texts for text in each if loops(text) == kind]
        axis.scatter(at + rng.uniform(-0.2, 0.2, len(values)), values, 14, colour, marker, label="" if at else ("loops" if kind else "does not loop"))
axis.set(ylabel="runs of four seen before", ylim=(-0.03, 1.03), title="Each mark a text")
axis.set_xticks(range(len(written)), written)
axis.legend(fontsize=9)
