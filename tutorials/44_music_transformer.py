r"""
Music Transformer's skew
========================

A motif comes back eight beats later, wherever in a piece it stands. Attention that is told *how far back* a key is can learn this
once for all places, but told naively it needs a vector for every pair of notes. Huang et al. (2019) get the same numbers from a
pad and a reshape. We derive it index by index, draw and measure it, write music as 388 words, and ask what distances are worth.

:Prerequisites: :doc:`05_attention`
"""

import timeit
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, optim
from minivision.generate import generate
from minivision.models.music_transformer import skew
from minivision.text import midi

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# A vector for each distance
# --------------------------
#
# Query :math:`i` looks back at keys :math:`j \le i`. Beside what the key says, its distance has a say (Shaw et al. 2018):
#
# .. math:: y = \operatorname{softmax}\Big(\frac{QK^T + S}{\sqrt{D_h}}\Big) V, \qquad S_{ij} = q_i \cdot e_{i-j} .
#
# The table :math:`E` has the vectors :math:`e_{L-1}, \dots, e_1, e_0`, the farthest first. Naively one gathers the vector of every
# pair, an array of :math:`L \times L \times D` numbers, and multiplies. But :math:`X = QE^T` holds all products already, only at
# other places: column :math:`c` of row :math:`i` is :math:`q_i \cdot e_{L-1-c}`. Each row must move, each by another step.


def naive(q, E):  # (L, D), (L, D) -> (L, L); for keys of the future the vector of distance 0
    distance = np.arange(len(q))[:, None] - np.arange(len(q))
    pairs = E[len(q) - 1 - np.maximum(distance, 0)]  # (L, L, D)
    return (pairs @ q[:, :, None])[..., 0]


def skewed(q, E):  # (L, D), (L, D) -> (L, L)
    X = q @ E.T
    padded = np.pad(X, ((0, 0), (1, 0)))  # (L, L + 1)
    return padded.reshape(len(q) + 1, len(q))[1:]


L, D = 6, 8
q, E = rng.standard_normal((2, L, D))
np.testing.assert_allclose(np.tril(naive(q, E)), np.tril(skewed(q, E)), rtol=1e-12, atol=1e-14)
np.testing.assert_array_equal(skewed(q, E), skew(mv.tensor(q @ E.T)).numpy())

# %%
# Why? In memory the padded rows, :math:`L+1` long, lie one after the other. Entry :math:`(i, j)` of the result is number
# :math:`(i+1)L + j` there, since a row of :math:`L` was dropped. For :math:`j \le i` this is
#
# .. math:: (i+1)L + j = i\,(L+1) + (L - i + j),
#
# row :math:`i`, column :math:`L-i+j` of the padded, column :math:`L-1-(i-j)` of :math:`X`: distance :math:`i-j`, as it should be.
# For :math:`j = i+1` it is the pad of row :math:`i+1`, a zero. For :math:`j > i+1` it is column :math:`j-i-2` of :math:`X`'s row
# :math:`i+1`: garbage, a product of the *next* query, which lies in the future. The causal mask must hide it.

X, S = q @ E.T, skewed(q, E)
for i in range(L):
    for j in range(L):
        assert S[i, j] == (X[i, L - 1 - (i - j)] if j <= i else 0 if j == i + 1 else X[i + 1, j - i - 2])

n, shades = 4, plt.get_cmap("YlGnBu")
number = np.arange(n * n).reshape(n, n)  # of the product q_i e_d: i n + (n - 1 - d)
padded = np.pad(number, ((0, 0), (1, 0)), constant_values=-1)
steps = {"1. X = Q Eᵀ": number, "2. a column": padded, "3. rows of L": padded.reshape(n + 1, n)}
steps |= {"4. without the first": padded.reshape(n + 1, n)[1:], "5. masked": np.where(np.tri(n), padded.reshape(n + 1, n)[1:], -2)}
figure, axes = plt.subplots(1, 5, figsize=(7.5, 2.5), layout="constrained", width_ratios=[4, 5, 4, 4, 4])
for axis, (title, cells) in zip(axes, steps.items(), strict=True):
    for (i, j), cell in np.ndenumerate(cells):
        d = n - 1 - cell % n
        colour = shades(0.15 + 0.2 * d) if cell >= 0 else "white"
        axis.add_patch(plt.Rectangle((j, i), 1, 1, facecolor=colour, edgecolor="grey"))
        text = f"$q_{cell // n}e_{d}$" if cell >= 0 else "0" if cell == -1 else "−∞"
        axis.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=8, color="white" if cell >= 0 and d > 2 else "black")
    axis.set(xlim=(-0.05, cells.shape[1] + 0.05), ylim=(5.05, -0.05), aspect="equal")
    axis.set_title(title, fontsize=9)
    axis.axis("off")
figure.suptitle("The skew of L = 4: below the diagonal row i, column j comes to have distance i − j", fontsize=10)

# %%
# With the mask nothing of it is left: whatever the later queries are, the earlier outputs keep their bits. Without it they hear
# the future. And where a piece is longer than the table, the farthest vector is repeated for all that lies beyond.

model = mv.create_model("music_transformer_tiny", num_hidden_layers=1, max_relative_position=4, vocab_size=20).double().eval()
attention, x = model.layers[0].self_attention, rng.standard_normal((2, 1, L, 64))
x[1, :, :4] = x[0, :, :4]  # the same but for the last two events
y = [attention(mv.tensor(each)).numpy() for each in x]
np.testing.assert_array_equal(y[0][:, :4], y[1][:, :4])
q = rng.standard_normal((1, 4, L, 16))
table = attention.key_relative_embeddings.numpy()  # (heads, 4, 16)
longer = np.concatenate([np.repeat(table[:, :1], L - 4, axis=1), table], axis=1)  # (heads, L, 16)
mine = np.stack([np.tril(naive(q[0, head], longer[head])) for head in range(4)])
np.testing.assert_allclose(mine, np.tril(attention.relative_logits(mv.tensor(q), L).numpy()[0]), rtol=1e-10, atol=1e-13)
later = q.copy()
later[:, :, 4:] += 1
moved = [attention.relative_logits(mv.tensor(each), L).numpy()[0] for each in (q, later)]
changed = np.abs(moved[1] - moved[0]).max(0) > 0  # (L, L)
print("rows before the change that hear it without the mask:", np.flatnonzero(changed[:4].any(1)), "- in columns:",
      np.flatnonzero(changed[:4].any(0)))  # fmt: skip
assert not np.tril(changed[:4]).any()
assert changed[3, 5]

# %%
# What it saves
# -------------
#
# Vectors for all pairs are :math:`L^2 D` numbers, the table :math:`L D`. The :math:`L \times L` products themselves are there
# either way, as the scores of attention are. The paper's example has :math:`L = 2048, D = 512` (one layer, all heads). We compute
# that, and measure smaller ones: the most memory that NumPy holds at once, and the time.

for name, count in {"for all pairs": 2048**2 * 512, "for all distances": 2048 * 512}.items():
    print(f"vectors {name}, float32: {4 * count / 1e6:,.1f} MB")
SIZES, WIDTH = [32, 64, 128] if lesson.quick() else [32, 64, 128, 256, 512], 64
held, spent = {}, {}
for way in (naive, skewed):
    for L in SIZES:
        given = rng.standard_normal((2, L, WIDTH)).astype(np.float32)
        tracemalloc.start()
        way(*given)
        held[way, L] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        spent[way, L] = min(timeit.repeat(lambda way=way, given=given: way(*given), number=5, repeat=7)) / 5
figure, axes = plt.subplots(1, 2, figsize=(7, 2.9), layout="constrained")
axes[0].plot(SIZES, [4 * L * L * WIDTH / 1e6 for L in SIZES], "k--", linewidth=1, label="$4 L^2 D$ bytes")
axes[0].plot(SIZES, [4 * L * L / 1e6 for L in SIZES], "k:", linewidth=1, label="$4 L^2$ bytes")
for axis, measured, scale in zip(axes, (held, spent), (1e6, 1e-3), strict=True):
    for way, marker in ((naive, "o-"), (skewed, "s-")):
        axis.plot(SIZES, [measured[way, L] / scale for L in SIZES], marker, markersize=4, label=way.__name__)
    axis.set(xscale="log", yscale="log", xlabel="length L")
    axis.set_xticks(SIZES, labels=SIZES)
    axis.set_xticks([], minor=True)
axes[0].set(title=f"Peak of memory, D = {WIDTH}", ylabel="MB")
axes[1].set(title="Time", ylabel="milliseconds")
axes[0].legend(fontsize=8)
L = SIZES[-1]
ratios = held[naive, L] / held[skewed, L], spent[naive, L] / spent[skewed, L]
print(f"L = {L}: {held[naive, L] / 1e6:.1f} against {held[skewed, L] / 1e6:.2f} MB, {ratios[0]:.0f} times less; "
      f"{ratios[1]:.0f} times as fast")  # fmt: skip
assert 4 * L * L * WIDTH < held[naive, L] < 4 * L * L * (WIDTH + 8)
assert held[skewed, L] < 4 * (4 * L * L + 4 * L * WIDTH)
assert lesson.quick() or ratios[1] > 2

# %%
# Does distance carry further?
# ----------------------------
#
# The paper's claim: distances go on where places end (section 4). A motif of 8 random words comes again and again, for 32 words in
# training and 128 in the test. Three networks of one size, two layers of 32: the Music Transformer, its table of 32 distances; a
# GPT-2 with vectors for 128 absolute places, of which training reaches a quarter; and, a stronger rival, the same with each
# training text begun at a random place, so that it comes to know 64. Each has the learning rate of least loss on held-out texts.

WORDS, PERIOD, L = 16, 8, 32
SEEDS, STEPS, RATES = ([0], 4, [0.01]) if lesson.quick() else ([0, 1, 2], 150, [0.01, 0.02])


def copies(rng, count, length):  # -> (count, length)
    return rng.integers(WORDS, size=(count, PERIOD))[:, np.arange(length) % PERIOD]


def network(way):
    if way == "distances":
        return mv.create_model("music_transformer_tiny", hidden_size=32, num_hidden_layers=2, filter_size=128,
                               max_relative_position=L, vocab_size=WORDS)  # fmt: skip
    return mv.create_model("gpt2_tiny", n_embd=32, n_layer=2, n_positions=4 * L, vocab_size=WORDS)


def logits(model, x, start=0):  # (B, T), the place where a text begins -> (B, T, WORDS)
    if hasattr(model, "layers"):
        return model(x)
    h = model.transformer.wte(x) + model.transformer.wpe(start + np.arange(x.shape[1]))
    for block in model.transformer.h:
        h = block(h)
    return F.linear(model.transformer.ln_f(h), model.transformer.wte.weight)


def loss(model, x, start=0):
    return F.cross_entropy(logits(model, x[:, :-1], start).reshape(-1, WORDS), x[:, 1:].reshape(-1))


def descend(model, cost, lr, steps):  # cost() of a new batch
    optimiser = optim.AdamW(model.parameters(), betas=(0.9, 0.98))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * min(1, (step + 1) / 20) * (1 - step / steps)
        optimiser.zero_grad()
        cost().backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


def trained(way, lr, seed):
    mv.manual_seed(seed)
    model, draw, moved = network(way), np.random.default_rng(seed), way == "places, moved"
    starts = L + 1 if moved else 1
    batch = lambda: loss(model, copies(draw, 16, L), draw.integers(starts, size=(16, 1)))  # noqa: E731
    return descend(model, batch, lr, STEPS * (2 if moved else 1))


held_out, test, right = copies(rng, 200, L), copies(rng, 20 if lesson.quick() else 200, 4 * L), {}
figure, axis = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
for way in ("distances", "places", "places, moved"):
    models = {lr: [trained(way, lr, seed) for seed in SEEDS] for lr in RATES}
    lr = min(RATES, key=lambda lr, models=models: sum(loss(model, held_out).item() for model in models[lr]))
    guesses = [logits(model, test[:, :-1]).numpy().argmax(-1) for model in models[lr]]
    each = np.mean(guesses == test[:, 1:], axis=1)  # (seeds, place of the guessed word, from 1)
    right[way] = np.array([each[:, a - 1 : b - 1].mean(1) for a, b in ((PERIOD, L), (L, 2 * L), (2 * L, 4 * L))])
    size = sum(weight.numel() for weight in models[lr][0].parameters())
    told = ", ".join(f"{part.mean():.1%} ({part.min():.1%} to {part.max():.1%})" for part in right[way])
    print(f"{way:>13}, {size:,} parameters, rate {lr}: {told}")
    colour = axis.plot(range(1, 4 * L), 100 * each.mean(0), label=way)[0].get_color()
    axis.fill_between(range(1, 4 * L), 100 * each.min(0), 100 * each.max(0), color=colour, alpha=0.2)
for place, text in ((L, "training ends"), (2 * L, "moved training ends")):
    axis.axvline(place, color="grey", linestyle=":")
    axis.text(place + 1, 45, text, fontsize=8)
axis.set(title="A motif of 8 words, again and again", xlabel="place", ylabel=f"right guesses (%, {len(SEEDS)} seeds)", ylim=(0, 103))
axis.legend(fontsize=8, loc="center right")
if not lesson.quick():
    assert right["distances"].min() > 0.9
    assert right["places"][0].min() > 0.9 > 0.3 > right["places"][1:].max()
    assert right["places, moved"][2].max() < 0.3

# %%
# Music as 388 words
# ------------------
#
# A key goes down (128 words) or up (128), 10 to 1000 ms pass (100), keys go down so hard from now on (32). *Frère Jacques* as a
# round: each bar twice, and a second voice that begins two bars later, here an octave below. What comes back from its words?


def voice(bars, beat, begin=0, below=0, velocity=64):  # bars of (pitch, beats) -> each twice, as notes
    notes = []
    for pitch, length in (note for bar in bars for note in 2 * bar):
        notes.append((begin * beat, (begin + length) * beat, pitch - below, velocity))
        begin += length
    return notes


def drawn(axis, notes, **style):
    for start, end, pitch, *_ in notes:
        axis.barh(pitch, end - start, left=start, height=0.8, **style)


C, D, E, F_, G, A = 60, 62, 64, 65, 67, 69
BARS = [[(C, 1), (D, 1), (E, 1), (C, 1)], [(E, 1), (F_, 1), (G, 2)], [(G, 0.5), (A, 0.5), (G, 0.5), (F_, 0.5), (E, 1), (C, 1)],
        [(C, 1), (G - 12, 1), (C, 2)]]  # fmt: skip
beat = 60 / 116
notes = sorted(voice(BARS, beat, velocity=90) + voice(BARS, beat, 8, 12, 60))
events = midi.to_events(notes)
words = midi.encode(events)
np.testing.assert_array_equal(words, [{"note_on": 0, "note_off": 128, "time_shift": 255, "velocity": 355}[kind] + value
                                      for kind, value in events])  # fmt: skip
back = midi.to_notes(midi.decode(words))
print(f"{len(notes)} notes, {len(words)} words:", *(f"{kind} {value}" for kind, value in events[:9]), "...", sep=" | ")
starts, heard = (np.array([note[0] for note in each]) for each in (notes, back))
gaps = np.cumsum(np.round(np.diff(starts, prepend=0) / midi.STEP)) * midi.STEP
print(f"worst start: {1000 * np.abs(heard - starts).max():.1f} ms; had each gap been rounded: {1000 * np.abs(gaps - starts).max():.0f} ms")
assert np.abs(heard - starts).max() <= midi.STEP / 2 + 1e-9 < np.abs(gaps - starts).max()
assert all(a[2] == b.pitch and b.velocity <= a[3] < b.velocity + 4 for a, b in zip(notes, back, strict=True))

# %%
# A round goes on
# ---------------
#
# Rounds by this rule, of random bars of four beats, in all twelve keys and four tempi, are texts on which a Music Transformer of
# two layers learns, 120 words of each. It then gets the first bar, twice, of a round that it never saw, and goes on alone, past
# twice that length, each word drawn as it finds it likely. How many of its notes keep the rule?

SCALE, LENGTH, GIVEN, MORE = np.array([0, 2, 4, 5, 7, 9, 11]), 120, 24, 20 if lesson.quick() else 240


def piece(rng):  # -> tonic, seconds of a beat, notes
    tonic, beat = rng.integers(60, 72), rng.choice([0.2, 0.25, 0.3, 0.4])
    bars = [[(tonic + SCALE[degree], 1) for degree in rng.integers(7, size=4)] for _ in range(16)]
    return tonic, beat, voice(bars, beat) + voice(bars, beat, 8, 12)


def lines(notes, beat):  # -> the highest and the lowest pitch that begins at each beat (2, beats)
    count = 1 + max(round(note[0] / beat) for note in notes)
    struck = [[note[2] for note in notes if abs(note[0] - i * beat) < 1e-6] for i in range(count)]
    return np.array([[max(each, default=0) for each in struck], [min(each, default=0) for each in struck]])


def kept(played, rule, tonic, first, last):  # beats first to last - 1 of what was played, by the leader of a rule
    beats = np.arange(max(first, 8), last)
    second = beats[beats // 4 % 2 == 1]
    return [np.isin((played[0, beats] - tonic) % 12, SCALE).mean(), (played[0, second] == rule[second - 4]).mean(),
            (played[1, beats] == rule[beats - 8] - 12).mean()]  # fmt: skip


def encoded(notes):
    return midi.encode(midi.to_events(notes))


rounds = np.stack([encoded(piece(rng)[2])[:LENGTH] for _ in range(30 if lesson.quick() else 1000)])
models, asked = [], [piece(rng) for _ in range(2)]
for seed in SEEDS:
    mv.manual_seed(seed)
    draw = np.random.default_rng(seed)
    model = mv.create_model("music_transformer_tiny", hidden_size=48, num_hidden_layers=2, max_relative_position=64, n_positions=512)
    models.append(descend(model, lambda model=model, draw=draw: model.loss(rounds[draw.integers(len(rounds), size=8)]), 0.01, 2 * STEPS))
import time; t=time.process_time()
shares=[]
for seed, model in zip(SEEDS, models):
    for tonic, beat, notes in asked:
        text=encoded(notes)[:GIVEN]
        play=midi.to_notes(midi.decode([*text,*generate(model,text,MORE,seed=seed)]))
        got=lines(play,beat)
        n=got.shape[1]
        print(seed,n, kept(got,got[0],tonic,8,27),kept(got,got[0],tonic,27,n-1))
print(time.process_time()-t)
