"""The panels of report.png. Each function takes plain arrays and gives a Panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .page import BLUE, GREY, HEAT, ORANGE, SIGNED, Box, Panel
from .pictures import enlarge, mosaic, smooth

Rows = Sequence[Mapping[str, Any]]
Pictures = Callable[[np.ndarray], np.ndarray]
CELL = 96  # pixels along the side of a small picture


def curves(rows: Rows, quantity: str, title: str, sentence: str, percent: bool = False) -> Panel:
    """train_ and test_`quantity` over the epochs, each line with its name and last value at its end."""

    def draw(figure: Figure, box: Box) -> None:
        axes = box.inset(left=0.6, right=1.2, bottom=0.5).axes(figure)
        epochs = [row["epoch"] for row in rows]
        ends = {}
        for part, colour in (("train", BLUE), ("test", ORANGE)):
            values = [row[f"{part}_{quantity}"] for row in rows]
            axes.plot(epochs, values, color=colour, linewidth=2.2, marker="o" if len(rows) == 1 else "", solid_capstyle="round")
            ends[f"{part} {values[-1]:.1%}" if percent else f"{part} {values[-1]:.3f}"] = (values[-1], colour)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.margins(x=0.01)
        _name_ends(axes, ends)

    return Panel(title, sentence, draw, lambda width: 3.3)


def _name_ends(axes: Any, ends: Mapping[str, tuple[float, str]]) -> None:
    """Writes each line's name beside its end, far enough apart to be read."""
    low, high = axes.get_ylim()
    heights = {name: (value - low) / (high - low) for name, (value, _) in ends.items()}
    (lower, a), (upper, b) = sorted(heights.items(), key=lambda item: item[1])
    spread = max(0.0, 0.09 - (b - a)) / 2
    for name, height in ((lower, a - spread), (upper, b + spread)):
        axes.text(
            1.02, height, name, transform=axes.transAxes, va="center", color=ends[name][1], fontsize=12.5, fontweight="bold"
        )


def attention(pictures: np.ndarray, maps: np.ndarray) -> Panel:
    """pictures (N, H, W, 3) from 0 to 1, maps (N, heads, h, w): the class token's attention to each patch."""
    heads = maps.shape[1]
    looks = np.concatenate([maps.mean(1, keepdims=True), maps], 1)
    looks = smooth(looks / looks.max((-2, -1), keepdims=True), CELL)  # (N, 1 + heads, CELL, CELL)
    paper = enlarge(pictures, CELL)[:, None]  # (N, 1, CELL, CELL, 3)
    pencil = 0.35 + 0.65 * paper  # lighter, so that the colour behind it is seen
    cells = np.concatenate([paper, pencil * HEAT(looks)[..., :3]], 1)  # (N, 2 + heads, CELL, CELL, 3)
    names = ["image", "all heads", *(f"head {i + 1}" for i in range(heads))]

    def draw(figure: Figure, box: Box) -> None:
        axes = show(figure, box.inset(left=0.95), mosaic(cells.swapaxes(0, 1), 6, paper=0.9))
        for i, name in enumerate(names):
            axes.text(-10, i * (CELL + 6) + CELL / 2, name, ha="right", va="center", color=GREY, fontsize=11.5)

    sentence = (
        "Where the class token of the last block looks in some unseen images: "
        "the deeper the orange behind the ink, the more it takes from there."
    )
    return Panel("Where it looks", sentence, draw, lambda width: 4.7, share=1.57)


def positions(table: np.ndarray) -> Panel:
    """table (h, w, D), the position embeddings of the patches: every one's cosine similarity with all."""
    (h, w, _), similar = table.shape, likeness(table)
    side = max(4, 480 // max(h, w) ** 2)  # pixels for one number
    cells = enlarge(similar.reshape(h * w, h, w), max(h, w) * side).reshape(h, w, max(h, w) * side, -1)
    picture = mosaic(cells, side // 2, paper=np.nan)
    most = float(np.abs(similar[similar < 0.999]).max(initial=0.1))  # of two different patches: a patch with itself is 1

    def draw(figure: Figure, box: Box) -> None:
        axes = show(figure, box.inset(right=0.9), picture, cmap=SIGNED, vmin=-most, vmax=most)
        bar = figure.colorbar(
            axes.images[0], cax=axes.inset_axes((1.04, 0.0, 0.035, 1.0)), ticks=[-most, 0.0, most], format="%.1f"
        )
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)

    near, far = _neighbours(similar)
    sentence = (
        f"How alike the position embeddings are: each small square is one of the {h} x {w} patches, and its likeness to all. "
        f"Nobody told it the grid: neighbours came out at {near:+.2f} on average, the others at {far:+.2f}."
    )
    return Panel("What it knows of places", sentence, draw, lambda width: 4.7)


def likeness(table: np.ndarray) -> np.ndarray:
    """Cosines between all vectors of (h, w, D) -> (h, w, h, w)."""
    unit = table / np.maximum(np.linalg.norm(table, axis=-1, keepdims=True), 1e-12)
    return np.einsum("ijd,kld->ijkl", unit, unit)


def _neighbours(similar: np.ndarray) -> tuple[float, float]:
    """The mean similarity (h, w, h, w) of two patches side by side, and of all others that are not the same."""
    h, w = similar.shape[:2]
    y, x = np.mgrid[:h, :w].reshape(2, -1)
    steps = np.abs(y[:, None] - y) + np.abs(x[:, None] - x)
    flat = similar.reshape(h * w, h * w)
    return float(flat[steps == 1].mean()), float(flat[steps > 1].mean())


def filters(weight: np.ndarray, most: int = 10) -> Panel:
    """weight (D, C, P, P) of the patch embedding: its first principal components, as pictures, with their shares of variance."""
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    _, scales, components = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    shares = scales**2 / np.sum(scales**2)
    components = components[:most].reshape(-1, *weight.shape[1:])
    cells = [_filter_colours(component / component.flat[np.abs(component).argmax()]) for component in components]
    captions = [f"{share:.0%}" for share in shares[:most]]
    sentence = "The directions in which the patch embedding's filters differ most, and their share of all differences."
    return _gallery("What it sees in a patch", sentence, cells, captions)


def _filter_colours(component: np.ndarray) -> np.ndarray:
    """(C, P, P) from -1 to 1 -> RGB (CELL, CELL, 3): of three channels their own colours, else blue to orange."""
    rgb = (component + 1.0) / 2.0 if len(component) == 3 else SIGNED((component[0] + 1.0) / 2.0)[..., :3].transpose(2, 0, 1)
    return enlarge(rgb.transpose(1, 2, 0)[None], CELL)[0]


def mistakes(pictures: Pictures, labels: np.ndarray, logits: np.ndarray, classes: Sequence[str], most: int = 14) -> Panel:
    """labels (N) or (N, classes) of 0 and 1, logits (N, classes): the images that were read wrongly, the surest error first.

    pictures: from the numbers of some images to (n, H, W, 3) from 0 to 1.
    """
    sure = (_sureness if labels.ndim == 1 else _sureness_of_many)(labels, logits)
    wrong = np.flatnonzero(sure > 0.0)
    shown = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
    cells = list(enlarge(pictures(shown), CELL))
    if labels.ndim == 1:
        captions = [_verdict(classes[labels[i]], classes[logits[i].argmax()]) for i in shown]
    else:
        captions = [_differences(labels[i], logits[i] > 0, list(classes)) for i in shown]
    every = "all of them" if len(shown) == len(wrong) else f"the {len(shown)} of which it was surest"
    told = "with the right answer, then the model's" if labels.ndim == 1 else "+ what it sees and is not there, - what it misses"
    sentence = (
        f"{len(wrong)} of {len(labels)} unseen images; here are {every}, {told}."
        if len(wrong)
        else (f"Nothing: all {len(labels)} unseen images are right.")
    )
    return _gallery("What it got wrong", sentence, cells, captions, share=1.57)


def _sureness(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(N): the probability of the answer where it is wrong, else 0."""
    answers = logits.argmax(-1)
    highest = np.exp(logits.max(-1) - np.logaddexp.reduce(logits, -1))
    return np.where(answers != labels, highest, 0.0)


def _sureness_of_many(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(N): how far the worst logit is on the wrong side of 0, else 0."""
    return np.where((logits > 0) != labels, np.maximum(np.abs(logits), 1e-9), 0.0).max(-1)


def _differences(labels: np.ndarray, answers: np.ndarray, classes: list[str]) -> str:
    """+ what was answered and is not there, - what is there and was not answered; at most two, in two lines."""
    signed = [(f"+ {classes[c]}" if answers[c] else f"- {classes[c]}") for c in np.flatnonzero(answers != labels)]
    return "\n".join(signed[:2])


def confusion(counts: np.ndarray, classes: Sequence[str]) -> Panel:
    """counts (C, C): row, what it is; column, what was answered."""

    def draw(figure: Figure, box: Box) -> None:
        axes = box.inset(left=1.2, right=0.4, bottom=0.9).axes(figure)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
        axes.set_xticks(range(len(classes)), [_short(name) for name in classes], rotation=45 if len(classes) > 6 else 0)
        axes.set_yticks(range(len(classes)), [_short(name) for name in classes])
        axes.set_xlabel("answered")
        if len(classes) <= 20:
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    colour = "white" if shares[row, column] > 0.5 else GREY
                    axes.text(column, row, str(count), ha="center", va="center", fontsize=10, color=colour)

    return Panel(
        "What it takes for what",
        "Rows: what an image is; columns: the answer; numbers of unseen images.",
        draw,
        lambda width: 3.6,
    )


def precision_recall(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Panel:
    """{class: (precision, recall)} along all thresholds."""

    def draw(figure: Figure, box: Box) -> None:
        axes = box.inset(left=0.6, right=1.6, bottom=0.5).axes(figure)
        for name, (precision, recall) in curves.items():
            axes.step(np.append(0.0, recall), np.append(precision[:1], precision), where="pre", linewidth=1.8, label=_short(name))
        axes.set(xlabel="recall", ylabel="precision", xlim=(0.0, 1.01), ylim=(0.0, 1.02))
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)

    sentence = "Of the images taken for a class, the share that is; of those that are, the share that is found."
    return Panel("Precision over recall", sentence, draw, lambda width: 3.6)


def _short(name: str) -> str:
    return name if len(name) <= 12 else f"{name[:11]}…"


def _verdict(right: str, answer: str) -> str:
    """`right, not answer`; in two lines, and shortened, where the names are long."""
    line = f"{right}, not {answer}"
    short = [name if len(name) <= 9 else f"{name[:8]}…" for name in (right, answer)]
    return line if len(line) <= 12 else "{}\nnot {}".format(*short)


def _gallery(title: str, sentence: str, cells: Sequence[np.ndarray], captions: Sequence[str], share: float = 1.0) -> Panel:
    """Small pictures in rows, each with a caption below."""
    side, gap, below = 0.98, 0.2, 0.3 + 0.2 * any("\n" in caption for caption in captions)  # inches

    def columns(width: float) -> int:
        return int((width + gap) / (side + gap))

    def draw(figure: Figure, box: Box) -> None:
        for i, (cell, caption) in enumerate(zip(cells, captions, strict=True)):
            row, column = divmod(i, columns(box.width))
            axes = show(figure, Box(box.x + column * (side + gap), box.y + row * (side + below), side, side), cell)
            axes.text(0.5, -0.05, caption, transform=axes.transAxes, ha="center", va="top", fontsize=11, color=GREY)

    return Panel(title, sentence, draw, lambda width: -(-len(cells) // columns(width)) * (side + below), share)


def show(figure: Figure, box: Box, picture: np.ndarray, **options: Any) -> Any:
    """A picture as large as fits into the top left of a place, without a frame."""
    scale = min(box.width / picture.shape[1], box.height / picture.shape[0])
    axes = Box(box.x, box.y, picture.shape[1] * scale, picture.shape[0] * scale).axes(figure)
    axes.imshow(picture, interpolation="nearest", aspect="auto", **options)
    axes.set_axis_off()
    return axes
