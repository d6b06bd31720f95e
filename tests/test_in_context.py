"""Worked examples before a question, and its options by their log-probability."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import numbers
from miniatures import fill

import minivision as mv
from minivision.in_context import Question, few_shot, log_probabilities, option_scores, pairs, prompt


def tiny(**overrides):
    return fill(
        mv.create_model("gpt3_tiny", **{"n_layer": 2, "vocab_size": 20, "n_positions": 24, "band": 4, **overrides}).double()
    )


def by_hand(model, context, option):
    """One token at a time."""
    log_p, text = [], list(context)
    for token in option:
        logits = model(np.array([text])).numpy()[0, -1]
        log_p.append(logits[token] - np.log(np.exp(logits).sum()))
        text.append(token)
    return np.array(log_p)


def test_a_prompt_is_examples_and_the_question():
    examples = [Question([1, 2], [[3], [4, 5]], 1), Question([6], [[7], [8]], 0)]
    assert prompt(examples, [9, 9], [0]) == [1, 2, 4, 5, 0, 6, 7, 0, 9, 9]
    assert prompt([], [9]) == [9]
    encoded = Question.of(lambda text: [ord(each) for each in text], "ab", [" c", " de"], 1)
    assert encoded == Question([97, 98], [[32, 99], [32, 100, 101]], 1)


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_log_probabilities_are_those_of_one_token_after_the_other(batch):
    model = tiny().eval()
    contexts, options = [[3], [1, 2, 3, 4, 5], [7, 7], [0, 9]], [[4, 5, 6], [1], [2, 2], [19, 0, 1, 2]]
    found = log_probabilities(model, contexts, options, batch)
    for log_p, context, option in zip(found, contexts, options, strict=True):
        np.testing.assert_allclose(log_p, by_hand(model, context, option), rtol=1e-10)
    for contexts, options in [([[]], [[1]]), ([[1]], [[]])]:
        with pytest.raises(ValueError, match="one token at least, and number 0 is not"):
            log_probabilities(model, contexts, options)


def test_scores_are_sums_or_means_with_something_taken_off_or_not():
    log_p, without = [np.array([-1.0, -2.0, -3.0]), np.array([-4.0])], [np.array([-1.0, -1.0, -1.0]), np.array([-3.5])]
    np.testing.assert_allclose(option_scores(log_p), [-2.0, -4.0])
    np.testing.assert_allclose(option_scores(log_p, per_token=False), [-6.0, -4.0])
    np.testing.assert_allclose(option_scores(log_p, False, without), [-3.0, -0.5])
    np.testing.assert_allclose(option_scores(log_p, True, without), [-1.0, -0.5])


@pytest.mark.parametrize(("per_token", "answer_context"), [(True, []), (False, []), (True, [2, 3]), (False, [2])])
def test_few_shot_is_its_definition(per_token, answer_context):
    model, state = tiny().train(), numbers("tokens", (13, 4), 20).tolist()
    made = [Question(row[:1], [row[1:3], row[3:]], i % 2) for i, row in enumerate(state)]
    pool, questions = made[:5], made[5:]
    before = {name: value.copy() for name, value in model.state_dict().items()}
    shares = few_shot(model, pool, questions, [0, 1, 3], draws=2, per_token=per_token, answer_context=answer_context, seed=4)
    assert model.training
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())
    rng = np.random.default_rng(4)
    for draw in range(2):
        order = [rng.permutation(5) for _ in questions]
        for row, k in enumerate([0, 1, 3]):
            right = 0
            for each, chosen in zip(questions, order, strict=True):
                context = prompt([pool[i] for i in chosen[:k]], each.question)
                log_p = [by_hand(model, context, option) for option in each.options]
                alone = [by_hand(model, answer_context, option) for option in each.options] if answer_context else None
                right += option_scores(log_p, per_token, alone).argmax() == each.answer
            assert shares[row, draw] == pytest.approx(right / len(questions))
    again = few_shot(model, pool, questions, [3], draws=2, per_token=per_token, answer_context=answer_context, seed=4)
    np.testing.assert_allclose(again[0], shares[2])


def test_what_does_not_fit_is_told():
    model, each = tiny(), Question([1, 2], [[3], [4, 5]], 1)
    with pytest.raises(ValueError, match=r"with K = 6 examples a question is a text of 27 tokens, .* n_positions = 24: ask for"):
        few_shot(model, [each] * 6, [each], [0, 5, 6])
    for shots in ([7], [-1]):
        with pytest.raises(ValueError, match="from 0 to 6 examples of the pool; got 1 and"):
            few_shot(model, [each] * 6, [each], shots)
    with pytest.raises(ValueError, match="got 0 and"):
        few_shot(model, [each], [], [0])


def test_pairs_follow_their_own_tables():
    tokens, tables = pairs(np.random.default_rng(0), 500, 6, 3, 5)
    assert (tokens.shape, tables.shape) == ((500, 12), (500, 3))
    keys, values = tokens[:, ::2], tokens[:, 1::2] - 3
    np.testing.assert_array_equal(values, np.take_along_axis(tables, keys, 1))
    for found, below in ((keys, 3), (values, 5), (tables, 5)):
        assert set(np.unique(found)) == set(range(below))
        counts = np.bincount(found.reshape(-1))
        assert counts.max() < 1.25 * counts.min()


def test_examples_are_worth_what_a_copier_makes_of_them():
    """A model that looks the key up in its context is right where it stands there, and otherwise by chance."""

    class Copier:
        training, config = False, mv.models.entry("gpt3_tiny").config

        def train(self, mode=True):
            """Nothing to switch."""

        eval = train

        def __call__(self, tokens):
            """The value that followed the last token before."""
            logits = np.zeros((*tokens.shape, 8))
            for row, text in zip(logits, tokens, strict=True):
                for t in range(len(text)):
                    for s in range(t):
                        row[t, text[s + 1]] += 9.0 * (text[s] == text[t] < 4)
            return mv.tensor(logits)

    rng, shares = np.random.default_rng(1), []
    for _ in range(60):
        keys, table = rng.integers(4, size=16), rng.integers(4, size=4)
        made = [Question([key], [[4 + value] for value in range(4)], int(table[key])) for key in [*keys, *range(4)]]
        shares.append(few_shot(Copier(), made[:16], made[16:], [0, 2, 8], draws=2).mean(1))
    np.testing.assert_allclose(np.mean(shares, 0), 1 - 0.75 * 0.75 ** np.array([0, 2, 8]), atol=0.07)
