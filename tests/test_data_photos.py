"""The photographs' pieces: where they come from, and that no pixel of the test is trained on."""

from __future__ import annotations

import numpy as np
import pytest

from minivision import data
from minivision.data.photos import photographs, pieces
from minivision.errors import DataError


def test_pieces_are_the_squares_row_by_row() -> None:
    picture = np.arange(2 * 7 * 9).reshape(2, 7, 9)
    found = pieces(picture, 3, 2)
    wanted = [picture[:, y : y + 3, x : x + 3] for y in range(0, 5, 2) for x in range(0, 7, 2)]
    np.testing.assert_array_equal(found, wanted)


def test_the_parts_share_no_pixel() -> None:
    dataset, (pictures, names) = data.load("photos?size=48"), photographs()
    assert dataset.classes == names == ["china", "flower"]
    assert dataset.image_shape == (3, 48, 48)
    for label, picture in enumerate(pictures):
        cut = round(0.75 * picture.shape[2])
        train, test = dataset.train_pixels[dataset.train_labels == label], dataset.test_pixels[dataset.test_labels == label]
        np.testing.assert_array_equal(train, pieces(picture[:, :, :cut], 48, 24))
        np.testing.assert_array_equal(test, pieces(picture[:, :, cut:], 48, 48))


@pytest.mark.parametrize("options", ["size=7", "size=97", "side=32", "size=x"])
def test_other_options_are_refused(options: str) -> None:
    with pytest.raises(DataError, match=r"photos has no option(.|\n)*size=N, N from 8 to 96"):
        data.load(f"photos?{options}")
