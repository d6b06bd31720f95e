r"""
Music Transformer's skew
========================

A motif comes back eight beats later, wherever in a piece it stands. Attention that is told *how far back* a key is learns that
once for all places, but told naively it needs a vector for each pair of notes. Huang et al. (2019) need a pad and a reshape. We
derive that index by index, draw and measure it, ask what distances are worth, and let a small network go on with a round.

:Prerequisites: :doc:`05_attention`
"""

import itertools
import timeit
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim
from minivision.generate import generate
from minivision.models.music_transformer import skew
from minivision.text import midi

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# A vector for each distance
# --------------------------
#
# Query :math:`i` looks back at keys :math:`j \le i`. Beside what a key says, its distance has a say (Shaw et al. 2018):
#
# .. math:: y = \operatorname{softmax}\Big(\frac{QK^T + S}{\sqrt{D_h}}\Big) V, \qquad S_{ij} = q_i \cdot e_{i-j} .
#
# The table :math:`E` holds :math:`e_{L-1}, \dots, e_1, e_0`, the farthest first. Naively one gathers the vector of every pair,
# :math:`L \times L \times D` numbers, and multiplies. But :math:`X = QE^T` has all these products already, at other places:
# column :math:`c` of row :math:`i` is :math:`q_i \cdot e_{L-1-c}`. Each row must move, each by another step.


def naive(q, E):  # (L, D), (L, D) -> (L, L)
    distance = np.arange(len(q))[:, None] - np.arange(len(q))
    pairs = E[len(q) - 1 - np.maximum(distance, 0)]  # (L, L, D); where the key is in the future, distance 0
    return (pairs @ q[:, :, None])[..., 0]


def skewed(q, E):  # (L, D), (L, D) -> (L, L)
    padded = np.pad(q @ E.T, ((0, 0), (1, 0)))  # (L, L + 1)
    return padded.reshape(len(q) + 1, len(q))[1:]


L = 6
q, E = rng.standard_normal((2, L, 8))
X, S = q @ E.T, skewed(q, E)
np.testing.assert_allclose(np.tril(naive(q, E)), np.tril(S), rtol=1e-12, atol=1e-14)
np.testing.assert_array_equal(S, skew(mv.tensor(X)).numpy())

# %%
# Why? In memory the padded rows, :math:`L+1` long, lie one after the other. Entry :math:`(i, j)` of the result is number
# :math:`(i+1)L + j` there, since a row of :math:`L` was dropped. For :math:`j \le i` that is :math:`i(L+1) + (L-i+j)`: row
# :math:`i`, column :math:`L-i+j` of the padded, column :math:`L-1-(i-j)` of :math:`X`, distance :math:`i-j`, as it should be.
# For :math:`j = i+1` it is the pad of row :math:`i+1`, a zero; for :math:`j > i+1` column :math:`j-i-2` of :math:`X`'s row
# :math:`i+1`: garbage, a product of the *next* query. For :math:`L = 4`, from left to right:

for i, j in np.ndindex(L, L):
    assert S[i, j] == (X[i, L - 1 - (i - j)] if j <= i else 0 if j == i + 1 else X[i + 1, j - i - 2])

number = np.arange(16).reshape(4, 4)  # of the product q_i e_d: 4 i + 3 - d; below 0: none
padded = np.pad(number, ((0, 0), (1, 0)), constant_values=-1)
rows, masked = padded.reshape(5, 4), np.where(np.tri(4), padded.reshape(5, 4)[1:], -2)
pictures = {"1. X = Q Eᵀ": number, "2. pad": padded, "3. rows of L": rows, "4. drop": rows[1:], "5. mask": masked}
figure, axes = plt.subplots(1, 5, figsize=(7.5, 2.2), layout="constrained", width_ratios=[4, 5, 4, 4, 4])
for axis, (title, cells) in zip(axes, pictures.items(), strict=True):
    axis.imshow(np.where(cells < 0, np.nan, 3 - cells % 4), cmap="YlGnBu", vmin=-0.5, vmax=6)
    for (i, j), cell in np.ndenumerate(cells):
        text = f"$q_{cell // 4}e_{3 - cell % 4}$" if cell >= 0 else "0" if cell == -1 else "−∞"
        axis.text(j, i, text, ha="center", va="center", fontsize=9)
    axis.set(title=title, ylim=(4.5, -0.5), frame_on=False, xticks=[], yticks=[])

# %%
# Unmasked, the scores of the fourth row would tell of a fifth event and later; with the causal mask no output does. And where a
# piece is longer than the table (here 4 distances), the farthest vector is repeated for all that lie beyond.

attention = mv.create_model("music_transformer_tiny", max_relative_position=4).double().layers[0].self_attention
table, x = attention.key_relative_embeddings.numpy(), rng.standard_normal((2, L, 4, 16))  # 4 heads of 16
x[1, :4] = x[0, :4]  # two pieces that differ from the fifth event on
scores = attention.relative_logits(mv.tensor(x.swapaxes(1, 2)), L).numpy()  # (2, heads, L, L)
np.testing.assert_array_equal(attention.relative_embeddings(L).numpy(), table[:, [0] * (L - 4) + [0, 1, 2, 3]])
np.testing.assert_array_equal(np.argwhere((scores[0] != scores[1])[:, :4].any(0)), [(3, 5)])
np.testing.assert_array_equal(*attention(mv.tensor(x.reshape(2, L, 64))).numpy()[:, :4])

# %%
# What does it save? Vectors of all pairs are :math:`L^2 D` numbers, the table :math:`LD`; :math:`L \times L` products are there
# anyway. The paper's example, :math:`L = 2048, D = 512`, is computed; smaller ones are measured: the most memory, and the time.

print(f"the paper's example, float32: {4e-6 * 2048**2 * 512:,.1f} MB for all pairs, {4e-6 * 2048 * 512:.1f} for all distances")
sizes, WIDTH = 2 ** np.arange(5, 8 if lesson.quick() else 10), 64
held, spent = np.zeros((2, len(sizes), 2))  # MB and milliseconds, of each way
for (i, L), (j, way) in itertools.product(enumerate(sizes), enumerate((naive, skewed))):
    given = rng.standard_normal((2, L, WIDTH)).astype(np.float32)
    spent[i, j] = 1000 * min(timeit.repeat(lambda way=way, given=given: way(*given), number=1, repeat=30))
    tracemalloc.start()
    way(*given)
    held[i, j] = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
figure, axes = plt.subplots(1, 2, figsize=(7, 2.9), layout="constrained")
axes[0].plot(sizes, 4e-6 * sizes**2 * WIDTH, "k--", linewidth=1, label="$4 L^2 D$ bytes")
axes[0].plot(sizes, 4e-6 * sizes**2, "k:", linewidth=1, label="$4 L^2$ bytes")
for axis, measured, title, unit in zip(axes, (held, spent), (f"Most memory, D = {WIDTH}", "Time"), ("MB", "ms"), strict=True):
    axis.plot(sizes, measured, "o-", markersize=4, label=["naive", "skewed"])
    axis.set_xscale("log", base=2)
    axis.set(yscale="log", xlabel="length L", ylabel=unit, title=title)
axes[0].legend(fontsize=8)
print(f"L = {L}: {held[-1, 0]:.1f} against {held[-1, 1]:.2f} MB, {spent[-1, 0]:.1f} against {spent[-1, 1]:.2f} ms")
assert np.all([held[:, 0] > 4e-6 * sizes**2 * WIDTH, held[:, 1] < 16e-6 * (sizes**2 + sizes * WIDTH)])
assert lesson.quick() or spent[-1, 0] > 5 * spent[-1, 1]

# %%
# Does distance carry further?
# ----------------------------
#
# The paper's claim: who knows distances goes on beyond the training's length, who knows places does not. A motif of 8 random
# words comes again and again, for 32 words in training, 128 in the test. Three networks of two layers, 32 wide: the Music
# Transformer with 32 distances; a GPT-2 with vectors for 128 places, of which training reaches a quarter; and a stronger rival,
# the same with training texts at random places, so that it learns 64, in twice the steps. Held-out texts choose the rates.

WORDS, PERIOD, L, TEST = 16, 8, 32, 20 if lesson.quick() else 200
SEEDS, STEPS, RATES = ([0], 4, [0.01]) if lesson.quick() else ([0, 1, 2], 150, [0.01, 0.02])
PLACES = "gpt2_tiny", {"n_embd": 32, "n_layer": 2, "n_positions": 4 * L}
DISTANCES = "music_transformer_tiny", {"hidden_size": 32, "num_hidden_layers": 2, "max_relative_position": L}
texts = rng.integers(WORDS, size=(5000, PERIOD))[:, np.arange(4 * L) % PERIOD]
test, held_out, texts = texts[:TEST], texts[TEST : 2 * TEST, :L], texts[2 * TEST :, :L]


def descend(model, loss, texts, size, lr, steps, draw):  # loss(some texts)
    optimiser = optim.AdamW(model.parameters(), betas=(0.9, 0.98))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * min(1, (step + 1) / 20) * (1 - step / steps)
        optimiser.zero_grad()
        loss(texts[draw.integers(len(texts), size=size)]).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model


def trained(way, lr, seed):
    mv.manual_seed(seed)
    (name, sizes), draw = DISTANCES if way == "distances" else PLACES, np.random.default_rng(seed)
    model = mv.create_model(name, vocab_size=WORDS, **sizes)

    def moved(x):  # the loss of texts (B, L), each read as if it stood at another place
        of, places = model.transformer, draw.integers(L + 1, size=(len(x), 1)) + np.arange(L - 1)  # (B, L - 1)
        h = of.ln_f(nn.Sequential(*of.h)(of.wte(x[:, :-1]) + of.wpe(places)))  # (B, L - 1, D)
        return F.cross_entropy(F.linear(h, of.wte.weight).reshape(-1, WORDS), x[:, 1:].reshape(-1))

    return descend(model, moved if "moved" in way else model.loss, texts, 16, lr, STEPS * (1 + ("moved" in way)), draw)


right, (figure, axis) = {}, plt.subplots(figsize=(6.8, 3.1), layout="constrained")
for way in ("distances", "places", "places, moved"):
    tried = [[trained(way, lr, seed) for seed in SEEDS] for lr in RATES]
    best = np.argmin([np.mean([model.loss(held_out).item() for model in models]) for models in tried])
    each = np.mean([model(test[:, :-1]).numpy().argmax(-1) == test[:, 1:] for model in tried[best]], axis=1)  # (seeds, places)
    right[way] = np.array([each[:, a - 1 : b - 1].mean(1) for a, b in ((PERIOD, L), (L, 2 * L), (2 * L, 4 * L))])
    told = ", ".join(f"{part.mean():.1%} ({part.min():.1%} to {part.max():.1%})" for part in right[way])
    print(f"{way} (rate {RATES[best]}): places {PERIOD} to {L - 1}, to {2 * L - 1}, to {4 * L - 1}: {told}")
    colour = axis.plot(range(1, 4 * L), 100 * each.mean(0), label=way)[0].get_color()
    axis.fill_between(range(1, 4 * L), 100 * each.min(0), 100 * each.max(0), color=colour, alpha=0.2)
axis.vlines([L, 2 * L], 0, 100, color="grey", linestyle=":", label="training ends (moved: the second)")
axis.set(title="A motif of 8 words, again and again", xlabel="place", ylabel=f"right guesses (%, {len(SEEDS)} seeds)")
axis.legend(fontsize=8, loc="center right")
least = min(right["distances"].min(), right["places"][0].min(), right["places, moved"][:2].min())
assert lesson.quick() or least > 0.9 > 0.3 > max(right["places"][1:].max(), right["places, moved"][2].max())

# %%
# Music as 388 words
# ------------------
#
# A key goes down (128 words) or up (128), 10 to 1000 ms pass (100), keys go down so hard from now on (32). *Frère Jacques* as
# a round, each bar twice, a second voice two bars behind (and below: no key goes down twice), comes back to half a step:


def voice(bars, beat, begin=0, below=0, velocity=64):  # bars of (pitch, beats) -> each twice, as notes
    pitches, lengths = np.array([note for bar in bars for note in 2 * bar]).T
    ends = begin + np.cumsum(lengths)
    columns = np.stack([pitches, (ends - lengths) * beat, ends * beat], axis=1)
    return [(start, end, int(pitch) - below, velocity) for pitch, start, end in columns]


BARS = [[(60, 1), (62, 1), (64, 1), (60, 1)], [(64, 1), (65, 1), (67, 2)],
        [(67, 0.5), (69, 0.5), (67, 0.5), (65, 0.5), (64, 1), (60, 1)], [(60, 1), (55, 1), (60, 2)]]  # fmt: skip
notes = sorted(voice(BARS, 60 / 116, velocity=90) + voice(BARS, 60 / 116, 8, 24, 60))  # 116 beats a minute
events, first = midi.to_events(notes), {"note_on": 0, "note_off": 128, "time_shift": 255, "velocity": 355}
np.testing.assert_array_equal(midi.encode(events), [first[kind] + value for kind, value in events])
jacques = midi.to_notes(midi.decode(midi.encode(events)))
off = 1000 * np.abs(np.array(notes) - jacques).max(0)
print(f"{len(notes)} notes, {len(events)} words:", *(f"{kind} {value}," for kind, value in events[:5]), "...")
print(f"back again, times are off by up to {off[:2].max():.1f} ms, velocities by {off[3] / 1000:.0f}")
assert off[:2].max() <= 500 * midi.STEP + 1e-6

# %%
# Rounds of this form, of random bars of four beats in any key, are texts of 120 words for a Music Transformer of two layers. It
# is given the first bar, twice, of one that it never saw, and goes on alone (top-p 0.9), to twice that length. Three rules are
# counted: upper notes in the key, second bars as the first, the lower voice two bars behind; by chance: against another round.

SCALE, BEATS, GIVEN, LENGTH = np.array([0, 2, 4, 5, 7, 9, 11]), np.arange(54), 24, 120
pieces, shares = [], np.empty((2, 2, len(SEEDS), 3, 3))  # another round's rules, its own; within the training's length, beyond
for _ in range(20 if lesson.quick() else 1000):
    tonic, beat = rng.integers(60, 72), rng.choice([0.2, 0.25, 0.3, 0.4])
    bars = [[(tonic + SCALE[degree], 1) for degree in rng.integers(7, size=4)] for _ in range(8)]
    pieces.append((tonic, beat, voice(bars, beat) + voice(bars, beat, 8, 12)))
rounds = np.stack([midi.encode(midi.to_events(notes))[:LENGTH] for *_, notes in pieces])
for seed in SEEDS:
    mv.manual_seed(seed)
    model = mv.create_model(DISTANCES[0], num_hidden_layers=2, hidden_size=48, max_relative_position=64, n_positions=512)
    descend(model, model.loss, rounds[3:], 4, 0.01, 4 * STEPS, np.random.default_rng(seed))
    for i, (tonic, beat, _) in enumerate(pieces[:3]):
        more = generate(model, rounds[i, :GIVEN], 20 if lesson.quick() else 240, top_p=0.9, seed=seed)
        played = midi.to_notes(midi.decode([*rounds[i, :GIVEN], *more]))
        at = [[note.pitch for note in played if round(note.start / beat) == j] or [0] for j in BEATS]
        high, low = np.array([[max(each), min(each)] for each in at]).T
        for who, (key, leader) in enumerate([(pieces[i - 1][0], np.array(pieces[i - 1][2])[:54, 2]), (tonic, high)]):
            kept = np.isin((high - key) % 12, SCALE), high == np.roll(leader, 4), low == np.roll(leader, 8) - 12
            kept = np.where([BEATS > 7, BEATS // 4 % 2 == 1, BEATS > 7], kept, np.nan)  # (rules, beats); nan: no rule
            shares[who, :, seed, i] = np.nanmean(kept[:, 8:27], axis=1), np.nanmean(kept[:, 27:], axis=1)
for rule, (chance, own) in zip(("key", "second bars", "lower voice"), np.moveaxis(shares, -1, 0), strict=True):
    within, beyond = (f"{part.mean():.0%} ({part.mean(-1).min():.0%} to {part.mean(-1).max():.0%})" for part in own)
    print(f"{rule}: {within} within the training's length, {beyond} beyond, {chance.mean():.0%} by chance")
figure, axes = plt.subplots(2, figsize=(7.2, 4.8), layout="constrained")
for axis, notes, title in zip(axes, (jacques, played), ("Frère Jacques, from its words", "A round that goes on"), strict=True):
    for start, end, pitch, _ in notes:
        axis.barh(pitch, end - start, 1, start, color="C0")
    axis.set(title=title, xlabel="seconds", ylabel="pitch", xlim=(0, notes[-1][1]))
j, rule = np.argwhere(kept.T == 0).T
axes[1].plot((j + 0.5) * beat, np.where(rule < 2, high[j], low[j]), "rx", label="a rule broken")
axes[1].axvspan(0, 8 * beat, color="C1", alpha=0.2, label="given")
axes[1].axvline(27 * beat, color="grey", linestyle=":", label="training ends")
figure.legend(fontsize=8, ncols=3, loc="outside lower center")
assert lesson.quick() or np.all(shares[1].mean((1, 2)) > shares[0].mean((1, 2)))

# %%
# The lower voice follows far beyond the training's length. Second bars are kept less well: as they are counted, a round that
# slips by a bar breaks the rule from then on. The paper's piano music, and what listeners said of it, are not checked here.
#
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``music-skew``: three steps. ``music-farthest``: vectors beyond the table.
# ``music-relative-logits``: queries and distances. ``music-encode``: words as numbers. ``music-to-events``: notes as words.
