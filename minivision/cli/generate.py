"""`minivision generate`: a language model goes on with a text, and the terminal shows each token as it comes."""

from __future__ import annotations

import codecs
import sys
import time
from argparse import Namespace
from pathlib import Path

import numpy as np

from .. import kernels
from ..errors import SettingError, about_settings
from ..generate import generate, probabilities
from ..models import create_model
from ..published import load_weights
from ..text import BytePairs
from ..train.folder import MERGES, MODEL, VOCABULARY
from ..train.texts import check_writer


def run(chosen: Namespace) -> int:
    """Writes prompt and continuation to standard output, and what it cost to standard error."""
    with about_settings():
        if chosen.threads is not None:
            kernels.set_num_threads(chosen.threads)
        probabilities(np.zeros(1), chosen.temperature, chosen.top_k, chosen.top_p)  # settings are refused before anything is read
    check_writer(chosen.model)
    folder = Path(chosen.init)
    tokens = vocabulary(folder if folder.is_dir() else folder.parent)
    with about_settings():
        model = create_model(chosen.model, vocab_size=len(tokens))
    load_weights(model, weights(folder))
    prompt = chosen.prompt or "\n"
    with about_settings():
        read = tokens.encode(prompt)
    write(prompt)
    settings = {name: getattr(chosen, name) for name in ("temperature", "top_k", "top_p", "seed")}
    decoder, began, count = codecs.getincrementaldecoder("utf-8")("replace"), time.perf_counter(), 0
    for token in generate(model.eval(), read, chosen.tokens, end=tokens.special.get("<|endoftext|>"), **settings):
        write(decoder.decode(tokens.decode_bytes([token])))
        count += 1
    write(decoder.decode(b"", final=True) + "\n")
    spent = time.perf_counter() - began
    print(f"{count} tokens in {spent:.1f} s, {count / spent:.1f} a second", file=sys.stderr)
    return 0


def write(text: str) -> None:
    """Shown at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def vocabulary(folder: Path) -> BytePairs:
    """GPT-2's two files in a folder. SettingError where one is absent."""
    absent = [name for name in (VOCABULARY, MERGES) if not (folder / name).is_file()]
    if absent:
        raise SettingError(f"{folder} has no {' and no '.join(absent)}\n  hint: put the model's vocabulary beside its weights")
    return BytePairs.load(folder / VOCABULARY, folder / MERGES)


def weights(place: Path) -> Path:
    """The weights of a file, or of a folder that holds model.safetensors or pytorch_model.bin."""
    if place.is_file():
        return place
    found = next((place / name for name in (MODEL, "pytorch_model.bin") if (place / name).is_file()), None)
    if found is None:
        raise SettingError(f"{place} has no weights: neither model.safetensors nor pytorch_model.bin is there")
    return found
