"""The official names of PoolFormer and MetaFormer (sail-sg/poolformer), which load too."""

from __future__ import annotations

import re

import numpy as np
import pytest
from miniatures import fill

import minivision as mv
from minivision.models.metaformer import renamed


def official(state):
    """A state dict as sail-sg/poolformer has it: stages, what is between them, and positions in one numbered list."""
    parts = {"downsample.conv": ".proj", "pos_embed": ".pos_embed", "blocks": ""}
    places = [(f"stages.{i}.{part}", ending) for i in range(4) for part, ending in parts.items()]
    there = [each for each in places if any(key.startswith(each[0]) for key in state)]
    numbers = {own: f"network.{number}{ending}" for number, (own, ending) in enumerate(there)}
    found = {}
    for key, value in state.items():
        name = next((theirs + key.removeprefix(own) for own, theirs in numbers.items() if key.startswith(own)), key)
        name = re.sub(r"layer_scale(\d)\.scale", r"layer_scale_\1", name).replace("stem.conv", "patch_embed.proj")
        found[name.replace("head.norm", "norm").replace("head.fc", "head")] = value
    return found


@pytest.mark.parametrize("name", ["poolformer_digits", "metaformer_attention_digits", "metaformer_ppaa_s12_224"])
def test_official_entries_load(name):
    few = {} if "digits" in name else {"depths": (1,) * 4, "dims": (8,) * 4, "head_dim": 4, "img_size": 32}
    wanted = fill(mv.create_model(name, **few)).state_dict()
    made = mv.create_model(name, **few)
    theirs = official(wanted)
    assert {"patch_embed.proj.weight", "norm.bias", "head.bias"} <= set(theirs)
    assert mv.load_weights(made, theirs) == ([], [])
    for key, value in made.state_dict().items():
        np.testing.assert_array_equal(value, wanted[key])


def test_names_of_timm_are_not_touched():
    state = mv.create_model("metaformer_attention_digits").state_dict()
    assert list(renamed(state)) == list(state)


def test_a_proj_in_the_list_begins_the_next_stage():
    keys = {
        "patch_embed.proj.weight": "stem.conv.weight",
        "network.0.1.layer_scale_2": "stages.0.blocks.1.layer_scale2.scale",
        "network.1.proj.bias": "stages.1.downsample.conv.bias",
        "network.2.pos_embed": "stages.1.pos_embed",
        "network.3.0.token_mixer.proj.weight": "stages.1.blocks.0.token_mixer.proj.weight",
        "network.3.0.norm1.weight": "stages.1.blocks.0.norm1.weight",
        "norm.weight": "head.norm.weight",
        "head.weight": "head.fc.weight",
    }
    assert renamed({key: key for key in keys}) == {own: key for key, own in keys.items()}
