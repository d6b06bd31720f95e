"""`minivision probe` and `minivision few-shot`: what frozen features know, beside random weights and bare pixels."""

from __future__ import annotations

from argparse import Namespace

import numpy as np

from .. import data, kernels, probe, random
from ..errors import DataError, SettingError, about_settings
from ..models import entry
from ..train import begin_from
from ..train.build import build_model, check_classifier
from .screen import console, table

NAMES = "this model", "random weights", "pixels"
SHOTS = 1, 2, 5, 10, 20


def run(chosen: Namespace) -> int:
    """A row for each kind of features: right answers of a linear probe, or for each number of shots."""
    if chosen.threads is not None:
        with about_settings():
            kernels.set_num_threads(chosen.threads)
    dataset = data.load(chosen.data, chosen.seed)
    if dataset.train_labels.ndim == 2:
        raise DataError(f"{dataset.name}: a probe asks which class an image is of, but these have several labels each")
    features = frozen(chosen, dataset)
    labels, answers = dataset.train_labels, dataset.test_labels
    few = chosen.command == "few-shot"
    shots = (chosen.shots or [n for n in SHOTS if n <= np.bincount(labels).min()]) if few else []
    made = table("features", *(map(str, shots) if few else ["right"]), numbers=len(shots) or 1)
    for name, (known, asked) in features.items():
        if not few:
            cells = [f"{np.mean(probe.linear_probe(known, labels, asked, chosen.seed) == answers):.1%}"]
        else:
            with about_settings():
                shares = probe.curve(known, labels, asked, answers, shots, chosen.draws, chosen.seed)
            cells = [f"{100 * row.mean():.1f} ± {100 * row.std():.1f}" for row in shares]
        made.add_row(name, *cells)
    console().print(made)
    if not few:
        print(f"right answers on {len(answers):,} unseen images of {dataset.name}, after {len(labels):,} labelled ones")
    else:
        print(
            f"% right on {len(answers):,} unseen images of {dataset.name}, by labelled images of each class: mean and deviation"
        )
    return 0


def frozen(chosen: Namespace, dataset: data.Dataset) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{kind: features of the training and of the test images}; without weights to load there is no first kind."""
    sets = dataset.train_images, dataset.test_images
    check_classifier(chosen.model)
    name = entry(chosen.model).name
    if chosen.pool and not hasattr(entry(name).config, "global_pool"):
        raise SettingError(f"{name} has one way of pooling: leave --pool out")
    found = {}
    for kind in NAMES[:2] if chosen.init else NAMES[1:2]:
        random.manual_seed(chosen.seed)
        model = build_model(name, dataset, **({"global_pool": chosen.pool} if chosen.pool else {}))
        if kind == NAMES[0]:
            print(f"{name} with {begin_from(model, chosen.init)}", flush=True)
        with about_settings():
            found[kind] = tuple(probe.features(model, images) for images in sets)
    found[NAMES[2]] = tuple(np.asarray(images).reshape(len(images), -1).astype(np.float64) for images in sets)
    return found
