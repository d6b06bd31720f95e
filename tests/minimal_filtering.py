"""What the rounding of minimal filtering is in proportion to (Lavin & Gray 2015): its algorithm on absolute values."""

from __future__ import annotations

import numpy as np

B_T = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
A_T = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])


def tiles(image, padding, down, across):
    """(N, C, down, across, 4, 4): what tiles of 2 x 2 results read."""
    (top, _), (left, _) = padding
    framed = np.zeros((*image.shape[:2], 2 * down + 2, 2 * across + 2))
    rows, columns = min(image.shape[2], 2 * down + 2 - top), min(image.shape[3], 2 * across + 2 - left)
    framed[:, :, top : top + rows, left : left + columns] = image[:, :, :rows, :columns]
    return np.lib.stride_tricks.sliding_window_view(framed, (4, 4), (2, 3))[:, :, ::2, ::2]


def turned(matrix, squares):
    """|M| S |M|^T of each square S."""
    return np.einsum("ij,...jk,lk->...il", np.abs(matrix), squares, np.abs(matrix))


def sizes_of_results(x, weight, rows, columns, padding):
    """|A^T| [sum |G| |g| |G|^T (.) |B^T| |d| |B|] |A|: what the rounding of each result is in proportion to."""
    down, across = -(-rows // 2), -(-columns // 2)
    d, g = turned(B_T, tiles(np.abs(x), padding, down, across)), turned(G, np.abs(weight))
    y = turned(A_T, np.einsum("nchwij,ocij->nohwij", d, g))
    return y.transpose(0, 1, 2, 4, 3, 5).reshape(len(x), len(weight), 2 * down, 2 * across)[:, :, :rows, :columns]


def sizes_of_filters(x, dy, padding):
    """|G|^T [sum |B^T| |d| |B| (.) |A| |dy| |A|^T] |G|"""
    down, across = -(-dy.shape[2] // 2), -(-dy.shape[3] // 2)
    even = np.pad(np.abs(dy), ((0, 0), (0, 0), (0, 2 * down - dy.shape[2]), (0, 2 * across - dy.shape[3])))
    squares = even.reshape(*dy.shape[:2], down, 2, across, 2).transpose(0, 1, 2, 4, 3, 5)
    d = turned(B_T, tiles(np.abs(x), padding, down, across))
    return turned(G.T, np.einsum("nchwij,nohwij->ocij", d, turned(A_T.T, squares)))
