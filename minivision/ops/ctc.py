"""Connectionist temporal classification: labels without their places in time (Graves et al. 2006)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..op import op
from .elementwise import raw
from .indexing import gather, scatter_add

NEVER = -1e30  # the logarithm of the probability of a path that there is not: -inf without its NaNs; below half of it too


def _labels(targets: np.ndarray, lengths: np.ndarray, blank: int) -> np.ndarray:
    """l' (N, 2 S + 1) of section 4.1: a blank before, between and after the labels, and where there are none."""
    labels = np.full((len(targets), 2 * targets.shape[1] + 1), blank, np.int64)
    labels[:, 1::2] = np.where(np.arange(targets.shape[1]) < lengths[:, None], targets, blank)
    return labels


def _back(lengths: np.ndarray, count: int) -> np.ndarray:
    """(N, count): the places lengths - 1, ..., 0, then those that are left where they stand."""
    places = np.arange(count)
    return np.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)


def _sum_of_paths(*logs: Any) -> Any:
    """log sum exp, element by element."""
    top = np.max(raw(np.stack(logs)), axis=0)
    return top + np.log(sum(np.exp(log - top) for log in logs))


def _arrivals(log_p: Any, labels: np.ndarray, blank: int) -> Any:
    """(T, N, L): log of the sum over all paths that reach label s at time t, without what time t itself contributes.

    log_p (T, N, L) are the labels' log-probabilities. alpha_t(s) of eqs. 5 to 8 is arrivals + log_p; a label follows
    itself, the one before, and the one before that unless a blank or the same label would be skipped to.
    """
    first = np.where(np.arange(labels.shape[1]) < 2, np.zeros(labels.shape), NEVER)
    skips = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    arrivals, never = [first.astype(log_p.dtype)], np.full((len(labels), 2), NEVER, log_p.dtype)
    for t in range(log_p.shape[0] - 1):
        alpha = arrivals[-1] + log_p[t]
        before = np.concatenate([never[:, :1], alpha[:, :-1]], axis=1)
        skipping = np.concatenate([never[:, : labels.shape[1]], np.where(skips, alpha[:, :-2], NEVER)], axis=1)
        arrivals.append(_sum_of_paths(alpha, before, skipping))
    return np.stack(arrivals)


def _turned(x: Any, times: np.ndarray, places: np.ndarray) -> Any:
    """x (T, N, L) backwards in time and along the labels, each sequence within its own lengths."""
    x = gather(x, np.broadcast_to(_back(times, x.shape[0]).T[:, :, None], x.shape), axis=0)
    return gather(x, np.broadcast_to(_back(places, x.shape[2]), x.shape), axis=2)


def _log_p(log_probs: Any, labels: np.ndarray) -> Any:
    """(T, N, L): the log-probabilities of each sequence's labels, held above NEVER."""
    return np.maximum(gather(log_probs, np.broadcast_to(labels, (len(log_probs), *labels.shape)), axis=2), NEVER)


def _ctc_loss(log_probs, targets, input_lengths, target_lengths, *, blank=0, zero_infinity=False):
    """y_n = -log p(l_n | x_n) = -log (alpha_T(|l'|) + alpha_T(|l'| - 1)),  T = input_lengths_n   (eq. 8)

    infinite where no path is long enough: 0 with zero_infinity
    shapes: log_probs(T, N, C), targets(N, S), input_lengths(N), target_lengths(N) -> y(N);  keeps: all, arrivals, log p
    """
    labels = _labels(targets, target_lengths, blank)
    log_p = _log_p(log_probs, labels)
    arrivals, rows = _arrivals(log_p, labels, blank), np.arange(len(labels))
    alpha = (arrivals + log_p)[np.maximum(input_lengths - 1, 0), rows]  # (N, L)
    ends = alpha[rows, 2 * target_lengths], alpha[rows, np.maximum(2 * target_lengths - 1, 0)]
    nothing = np.where(target_lengths > 0, NEVER, 0.0).astype(log_probs.dtype)  # of no time at all
    total = np.where(input_lengths > 0, np.where(target_lengths > 0, _sum_of_paths(*ends), ends[0]), nothing)
    y = np.where(raw(total) <= NEVER / 2, 0.0 if zero_infinity else np.inf, -total)
    return y, (log_probs, targets, input_lengths, target_lengths, arrivals, total)


def _ctc_loss_vjp(dy, kept, *, blank=0, zero_infinity=False):
    """dlog_probs_tk = -dy sum_(s : l'_s = k) alpha_t(s) beta_t(s) / (p_t(l'_s) p(l | x))   (eqs. 14, 15)

    beta, of eqs. 9 to 11, is alpha of the same sequence read backwards. Where y is infinite the gradient is NaN, or 0
    with zero_infinity.
    """
    log_probs, targets, times, counts, arrivals, total = kept
    labels, places = _labels(targets, counts, blank), 2 * counts + 1
    log_p, turned = _log_p(log_probs, labels), np.take_along_axis(labels, _back(places, labels.shape[1]), 1)
    departures = _turned(_arrivals(_turned(log_p, times, places), turned, blank), times, places)
    inside = (np.arange(len(log_probs))[:, None] < times)[:, :, None] & (np.arange(labels.shape[1]) < places[:, None])
    impossible = (raw(total) <= NEVER / 2)[:, None]
    path = np.where(inside & ~impossible, arrivals + log_p + departures - np.expand_dims(total, 1), NEVER)
    share = np.where(inside & impossible, 0.0 if zero_infinity else np.nan, np.exp(path))
    index = np.broadcast_to(labels, share.shape)
    return -np.expand_dims(dy, 1) * scatter_add(share, index, axis=2, size=log_probs.shape[2]), None, None, None


ctc_loss = op("ctc_loss", _ctc_loss, _ctc_loss_vjp)
