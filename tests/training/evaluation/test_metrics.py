"""Metrics of classifiers against scikit-learn's, against definitions, and over ranks."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from pdenet.errors import DataError
from pdenet.training.evaluation.metrics import Metrics, Tally, predictions


def drawn(
    seed: int, num_classes: int, count: int, levels: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random logits and labels; with `levels`, of so many values only, to have ties."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, num_classes)
    if levels:
        logits = torch.randint(0, levels, shape, generator=generator).float()
    else:
        logits = torch.randn(shape, generator=generator)
    return logits, torch.randint(0, num_classes, (count,), generator=generator)


def tallied(
    logits: torch.Tensor, labels: torch.Tensor, top: tuple[int, ...] = (1, 5), batch: int = 7
) -> Metrics:
    tally = Tally(logits.shape[1], top)
    for a, b in zip(logits.split(batch), labels.split(batch), strict=True):
        tally.update(a, b)
    return tally.metrics()


problems = st.tuples(st.integers(0, 2**31), st.integers(2, 12), st.integers(1, 60))


@given(problems, st.integers(1, 20))
def test_metrics_agree_with_scikit_learn(problem: tuple[int, int, int], batch: int) -> None:
    logits, labels = drawn(*problem)
    num_classes = logits.shape[1]
    found = tallied(logits, labels, top=(1, 2, 5), batch=batch)
    every = np.arange(num_classes)
    truth, called = labels.numpy(), logits.numpy().argmax(axis=1)
    assert found.count == len(truth)
    np.testing.assert_array_equal(found.confusion, sk.confusion_matrix(truth, called, labels=every))
    assert found.accuracy == found.top[1] == sk.accuracy_score(truth, called)
    for k in (1, 2, 5):
        hits = sum(t in row for t, row in zip(truth, logits.numpy().argsort()[:, -k:], strict=True))
        assert found.top[k] == hits / len(truth)
        if k < num_classes > 2:  # scikit-learn's wants neither two classes nor every class
            with_sk = sk.top_k_accuracy_score(truth, logits.numpy(), k=k, labels=every)
            assert found.top[k] == pytest.approx(with_sk, abs=1e-15)  # one rounding
    probabilities = torch.softmax(logits.double(), dim=1).numpy()
    # The losses are float32 numbers of size up to about 8: 2⁻²⁴ of that each.
    assert found.loss == pytest.approx(
        sk.log_loss(truth, probabilities, labels=every), rel=1e-6, abs=1e-6
    )
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        truth, called, labels=every, zero_division=np.nan
    )
    for k, row in enumerate(found.per_class()):
        assert row.support == support[k]
        if not row.support:
            assert math.isnan(row.recall)
            assert math.isnan(row.precision)
            assert math.isnan(row.f1)
            continue
        # A quotient of integers on either side; f1 has three roundings there.
        np.testing.assert_allclose(
            [row.recall, row.precision, row.f1], [recall[k], precision[k], f1[k]], rtol=1e-15 * 4
        )
    present = np.unique(truth)
    balanced = sk.recall_score(truth, called, labels=present, average="macro")
    assert found.balanced_accuracy == pytest.approx(balanced, rel=1e-14)  # a sum of 12 terms


@given(problems, st.integers(1, 4))
def test_ties_go_to_the_smaller_index(problem: tuple[int, int, int], levels: int) -> None:
    logits, labels = drawn(*problem, levels=levels)
    # Pairs are compared by their first entries, and where these are equal by the index.
    orders = [
        [c for _, c in sorted((-value, c) for c, value in enumerate(row))]
        for row in logits.tolist()
    ]
    assert predictions(logits).tolist() == [order[0] for order in orders]
    found = tallied(logits, labels, top=tuple(range(1, 13)))
    for k in range(1, 13):
        hits = [t in order[:k] for t, order in zip(labels.tolist(), orders, strict=True)]
        assert found.top[k] == sum(hits) / len(hits)
    assert found.top[1] == found.accuracy
    assert found.top[12] == 1.0  # k at or above the number of classes


@given(problems, st.integers(1, 20), st.integers(0, 2**31))
def test_batches_and_their_order_change_nothing_but_rounding(
    problem: tuple[int, int, int], batch: int, seed: int
) -> None:
    logits, labels = drawn(*problem)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    one = tallied(logits, labels, batch=len(labels))
    other = tallied(logits[order], labels[order], batch=batch)
    assert one.top == other.top
    np.testing.assert_array_equal(one.confusion, other.confusion)
    assert one.loss == pytest.approx(other.loss, rel=1e-6)  # float32 losses of other batch shapes


def test_a_network_that_emits_nan_is_right_about_nothing() -> None:
    logits, labels = torch.full((6, 3), math.nan), torch.tensor([0, 0, 1, 1, 2, 2])
    found = tallied(logits, labels, top=(1, 3))
    assert found.accuracy == 0
    assert found.top == {1: 0, 3: 0}
    assert found.confusion.sum() == 0
    assert found.undecided.tolist() == [2, 2, 2]
    assert math.isnan(found.loss)
    assert [row.recall for row in found.per_class()] == [0, 0, 0]
    assert found.count == 6


def test_one_nan_in_a_row_makes_that_picture_wrong_and_no_other() -> None:
    logits = torch.tensor([[9.0, 0.0, math.nan], [0.0, 9.0, 0.0], [math.inf, 0.0, 0.0]])
    found = tallied(logits, torch.tensor([0, 1, 0]), top=(1, 3))
    assert found.top == {1: 2 / 3, 3: 2 / 3}
    assert found.undecided.tolist() == [1, 0, 0]


def test_a_class_that_is_never_called_has_no_precision_and_an_f1_of_zero() -> None:
    found = tallied(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    first, second = found.per_class()
    assert (first.recall, first.precision, first.f1) == (1.0, 0.5, 2 / 3)
    assert second.recall == 0
    assert math.isnan(second.precision)
    assert second.f1 == 0


def test_nothing_counted_is_no_number() -> None:
    found = Tally(4).metrics()
    assert found.count == 0
    for value in (found.loss, found.accuracy, found.balanced_accuracy, *found.top.values()):
        assert math.isnan(value)


def test_many_small_losses_keep_their_digits() -> None:
    # In float32 a sum stops growing at 2²⁴ times its summand.
    logits = torch.tensor([[0.0, -9.0]]).repeat(1000, 1)
    tally = Tally(2)
    for _ in range(200):
        tally.update(logits, torch.zeros(1000, dtype=torch.int64))
    one = torch.nn.functional.cross_entropy(logits[:1], torch.zeros(1, dtype=torch.int64))
    # Sums in float64 of 2·10⁵ equal terms.
    assert tally.metrics().loss == pytest.approx(float(one), rel=1e-11)


def test_half_precision_logits_are_measured_in_float32() -> None:
    logits, labels = drawn(3, 10, 50)
    half = logits.to(torch.bfloat16)
    found, expected = tallied(half, labels), tallied(half.float(), labels)
    assert found.loss == expected.loss
    assert found.top == expected.top


def test_what_does_not_fit_is_refused() -> None:
    tally = Tally(3)
    good = torch.zeros(2, 3)
    for logits, labels, word in (
        (torch.zeros(2, 4), torch.tensor([0, 1]), r"\(2, 4\)"),
        (torch.zeros(2), torch.tensor([0, 1]), r"\(2,\)"),
        (good, torch.tensor([0]), r"\(1,\)"),
        (good, torch.zeros(2), "float32"),
        (good, torch.tensor([0, 3]), "0 to 3"),
        (good, torch.tensor([-1, 0]), "-1 to 0"),
    ):
        with pytest.raises(DataError, match=word):
            tally.update(logits, labels)
    assert tally.metrics().count == 0  # a refused batch is not half counted
    for num_classes, top in ((0, (1,)), (True, (1,)), (3, (0,)), (3, (1.0,))):
        with pytest.raises(DataError):
            Tally(num_classes, top)  # type: ignore[arg-type]  # wrong on purpose


_RANK = """
import sys
from datetime import timedelta
import torch
from torch import distributed as dist
from pdenet.training.evaluation.metrics import Tally

rank, size, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
dist.init_process_group(
    "gloo", init_method=f"file://{store}", rank=rank, world_size=size,
    timeout=timedelta(seconds=60),
)
generator = torch.Generator().manual_seed(5)
logits = torch.randn(31, 6, generator=generator)
labels = torch.randint(0, 6, (31,), generator=generator)
tally = Tally(6, (1, 2))
tally.update(logits[rank::size], labels[rank::size])
tally.metrics()  # asking twice must not count twice
found = tally.metrics()
print(found.count, found.top, found.confusion.tolist(), repr(found.loss))
dist.destroy_process_group()
"""


def test_ranks_together_count_what_one_process_counts(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def start(rank: int) -> str:
        command = [sys.executable, "-c", _RANK, str(rank), "2", str(tmp_path / "store")]
        done = run(
            command, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ)
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(start, range(2))
    assert first == second
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(31, 6, generator=generator)
    labels = torch.randint(0, 6, (31,), generator=generator)
    alone = tallied(logits, labels, top=(1, 2))
    *shown, loss = first.split()
    assert " ".join(shown) == f"{alone.count} {dict(alone.top)} {alone.confusion.tolist()}"
    assert float(loss) == pytest.approx(alone.loss, rel=1e-6)  # float32 losses, other batches
