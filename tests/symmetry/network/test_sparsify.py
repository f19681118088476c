"""Sparsify: exact zeros in closed form, descent in the group, thresholds with a price."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any  # options of a classifier

import numpy as np
import onnx
import pytest
import torch

import pdenet as pn
from pdenet.errors import SymmetryError
from pdenet.network.convnet.export import export
from pdenet.network.convnet.unit_rows import write_out
from pdenet.symmetry.network import descent
from pdenet.symmetry.network.descent import OBJECTIVES, balanced, descend, moved
from pdenet.symmetry.network.group import group
from pdenet.symmetry.network.pareto import pareto
from pdenet.symmetry.network.places import free_stages, opened, places, shape_of
from pdenet.symmetry.network.pruning import count, logits_change, probes, pruned
from pdenet.symmetry.network.same import same_function
from pdenet.symmetry.network.sparsify import sparsify
from pdenet.symmetry.network.transform import transforms
from tests.network.convnet.redraw import pictures as images_of
from tests.network.convnet.redraw import redraw
from tests.symmetry.network.models import LAYOUT, model_of, pictures

GENERAL: dict[str, Any] = {"activation": "none"}
FORM: dict[str, Any] = {"quadratic_form": "identity"}


def published(**options: Any) -> pn.Classifier:
    """Eq. (7) with 4, 8 and 16 components, in float32, forms as they are at first: I."""
    torch.manual_seed(0)
    given = {"layout": LAYOUT, "directions": 6, "share_kernels": False, **options}
    return redraw(pn.catalogue["eq7"].to_classifier(3, **given), seed=1)


@torch.no_grad()
def change(one: pn.Classifier, other: pn.Classifier, x: torch.Tensor) -> float:
    expected = one(x)
    return float((other(x) - expected).abs().max() / expected.abs().max())


def zeros(model: pn.Classifier) -> int:
    """Exact zeros of all numbers of a model, counted by NumPy."""
    return sum(int((v.numpy() == 0).sum()) for v in model.state_dict().values())


def test_under_gl_each_stage_gets_n_squared_minus_n_zeros_and_the_same_function() -> None:
    model = published(**GENERAL).eval().double()
    made = sparsify(model, remove=False).model
    # Stages 2 and 3 have 8 and 16 components; the first is tied to a ReLU.
    assert zeros(made) - zeros(opened(model, (2, 3))) == 8 * 7 + 16 * 15
    x = images_of(model).double()
    # 200 eps cond(P), here below 40, as promised.
    assert change(model, made, x) < 200 * 2.2e-16 * 40


def test_left_out_unit_rows_take_n_squared_parameters_and_multiply_adds_along() -> None:
    model = published(**GENERAL).eval().double()
    report = sparsify(model, 3, size=16).report
    before, after = report.phases[-2].count, report.phases[-1].count
    assert before.parameters - after.parameters == 16 * 16
    # Stage 3 has 4 × 4 pixels of a picture of 16 × 16.
    assert before.multiply_adds - after.multiply_adds == 16 * 16 * 16
    assert report.phases[-1].change < 200 * 2.2e-16 * report.conditions[3]


def test_what_is_left_is_trained_saved_and_made_again() -> None:
    made = sparsify(published(**GENERAL).eval()).model
    again = pn.classifier_from_config(made.config).eval()
    again.load_state_dict(made.state_dict())
    x = images_of(made)
    assert torch.equal(again(x), made(x))
    again.train()
    again(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in again.parameters())


@pytest.mark.deep(law="test_left_out_unit_rows_take_n_squared_parameters_and_multiply_adds_along")
def test_unit_rows_stay_left_out_of_an_onnx_program(tmp_path: Path) -> None:
    """`export` runs what it wrote and compares, to 1e-5; here what it holds is counted too."""
    model = published(**GENERAL).eval()
    dense, sparse = (
        initialised(export(one, tmp_path / "model.onnx", image_size=16))
        for one in (opened(model, (2, 3)), sparsify(model).model)
    )
    # Besides float32 weights the copies' places are held, which are integers.
    assert dense - sparse == 8**2 + 16**2


def initialised(path: Path) -> int:
    """How many floating-point numbers an ONNX file holds."""
    tensors = onnx.load(path).graph.initializer
    return sum(math.prod(t.dims) for t in tensors if t.data_type == onnx.TensorProto.FLOAT)


def test_a_fixed_gauge_has_no_changes_of_unknowns_until_it_is_written_out() -> None:
    model = model_of("eq7", **GENERAL)
    made = sparsify(model, 2).model
    with pytest.raises(SymmetryError, match=r"does without unit rows of \w+ in stage [23]"):
        group(made)
    assert same_function(model, made).verdict == "same"
    write_out(made)
    assert group(made)[2].evaluation == group(model)[2].evaluation


def test_under_o_n_a_block_becomes_triangular() -> None:
    model = published().eval().double()
    made = sparsify(model)
    assert zeros(made.model) - zeros(opened(model, (2, 3))) == 8 * 7 // 2 + 16 * 15 // 2
    x = images_of(model).double()
    assert change(model, made.model, x) < 200 * 2.2e-16  # cond(P) = 1
    assert made.model.unit_rows == ()


def test_a_form_costs_what_it_frees_but_for_the_dimension_of_o_n() -> None:
    """With L = I the group is GL(n), n² numbers; then L is triangular and has n(n + 1)/2."""
    model = published(**FORM).eval().double()
    report = sparsify(model, 2, remove=False).report
    gained = count(opened(model, (2,))).to_store - report.phases[1].count.to_store
    n = 8
    assert gained == n * n - n * (n + 1) // 2 == n * (n - 1) // 2
    # Another stage's form, full here, stays as it is.
    other = model_of("eq7", **FORM)
    last = sparsify(other, 2).model.state_dict()["final.factor"]
    assert torch.equal(last, other.state_dict()["final.factor"])
    assert report.phases[1].change < 200 * 2.2e-16 * report.conditions[2]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_descent_lowers_the_objective_and_stays_in_the_group(objective: str) -> None:
    model = model_of("eq7", **GENERAL)
    stages = free_stages(model)
    start = opened(model, stages)
    shapes = {stage: shape_of(start, stage) for stage in stages}
    found = descend(places(start, stages), shapes, objective=objective, steps=25)
    assert (np.diff(found.history) <= 0).all()
    assert found.history[-1] < found.history[0]
    for matrix in found.matrices.values():
        assert np.linalg.cond(matrix) < 100
    made = transforms(start, found.matrices)
    assert change(model, made, pictures().double()) < 200 * 2.2e-16 * 100


def test_descent_over_o_n_keeps_p_orthogonal() -> None:
    model = model_of("eq7")
    start = opened(model, (2, 3))
    shapes = {stage: ("orthogonal", n) for stage, n in ((2, 8), (3, 16))}
    found = descend(places(start, (2, 3)), shapes, objective="l1", steps=25)
    assert found.history[-1] < found.history[0]
    for matrix in found.matrices.values():
        # 25 Cayley transforms, each orthogonal up to some roundings.
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(len(matrix)), atol=1e-13)


@pytest.mark.parametrize("shape", ["general", "orthogonal"])
def test_both_retractions_go_along_the_algebra(shape: str) -> None:
    rng = np.random.default_rng(0)
    p = torch.from_numpy(np.linalg.qr(rng.normal(size=(5, 5)))[0])
    x = torch.from_numpy(rng.normal(size=(5, 5)))
    tangent = x if shape == "general" else 0.5 * (x - x.T)
    h = 1e-5
    slope = (moved(p, -h * x, shape) - moved(p, h * x, shape)) / (2 * h)
    # Central differences: h² |X|³ ~ 1e-9, rounding 1e-16/h = 1e-11.
    torch.testing.assert_close(slope, p @ tangent, rtol=0, atol=1e-8)


def test_slopes_are_those_of_differences() -> None:
    start = opened(model_of("eq7", **GENERAL), (2,))
    for name in OBJECTIVES:
        measured = descent._Objective(places(start, (2,)), name, {2: ("general", 8)})
        p = torch.eye(8, dtype=torch.float64) + 0.1 * torch.randn(
            8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
        )
        x = torch.randn(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        _, slopes = measured.with_slopes({2: p})
        h = 1e-7  # |w| has a corner where an entry changes sign: none within 1e-7 of this P
        ends = [float(measured({2: moved(p, s * h * x, "general")})) for s in (-1, 1)]
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(
            float((slopes[2] * x).sum()), abs=1e-6
        )


def test_factors_of_components_do_not_change_the_logarithmic_objective() -> None:
    """Else descent would shrink weights instead of making zeros; ε is far below all entries."""
    start = opened(model_of("eq7", **GENERAL), (2,))
    every = places(start, (2,))
    scales = torch.diag(torch.linspace(0.5, 2.0, 8, dtype=torch.float64))
    one = torch.eye(8, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(descent, "EPSILON", 1e-12)
        measured = descent._Objective(every, "log", {2: ("general", 8)})
        first, second = (float(measured({2: p})) for p in (one, scales))
    assert first == pytest.approx(second, abs=1e-12)
    plain = descent._Objective(every, "l1", {2: ("general", 8)})
    # The plain sum does depend on them, so the test can see it.
    assert abs(float(plain({2: one})) - float(plain({2: scales}))) > 1e-3


def test_balanced_factors_make_what_reads_a_component_as_large_as_what_makes_it() -> None:
    start = opened(model_of("eq7", **GENERAL), (3,))
    every = places(start, (3,))  # the last stage: no tensor belongs to another one's index
    p = np.random.default_rng(0).normal(size=(16, 16))
    made = balanced(every, {3: p}, [3])[3]
    sizes = {1: np.zeros(16), -1: np.zeros(16)}
    for place in every:
        for act in place.acts:
            w = place.read().numpy()
            if w.ndim < 2:
                continue
            unit = np.moveaxis(w / np.sqrt((w**2).mean()), act.axis, -1)
            new = unit @ (made if act.sign > 0 else np.linalg.inv(made).T)
            sizes[act.sign] += (new.reshape(-1, 16) ** 2).sum(axis=0)
    # Two sums of squares, each computed in another order.
    np.testing.assert_allclose(sizes[1], sizes[-1], rtol=1e-10)
    factors = np.linalg.solve(p, made)
    np.testing.assert_allclose(factors, np.diag(np.diag(factors)), atol=1e-12)


def test_a_threshold_keeps_to_its_tolerance_and_says_what_it_changed() -> None:
    model = model_of("eq7", **GENERAL)
    made = sparsify(model, 2, gauge=False, steps=10, threshold=None, tolerance=1e-2)
    last = made.report.phases[-1]
    assert last.name == "thresholded"
    assert 0 < last.change <= 1e-2
    assert last.count.zeros > made.report.phases[-2].count.zeros
    assert zeros(made.model) == last.count.zeros + int(  # of statistics, which are not counted
        sum((b == 0).sum() for b in made.model.buffers())
    )
    assert logits_change(model, made.model, probes(model, None, 0)) == pytest.approx(last.change)


def test_pruning_takes_the_smallest_part_of_each_tensor() -> None:
    model = opened(model_of("eq7", **GENERAL), (2,))
    made = pruned(model, (2,), 0.5)
    name = "stages.1.blocks.1.coefficients.tensors.C"
    before, after = (m.get_parameter(name) for m in (model, made))
    gone = after == 0
    assert int(gone.sum()) == gone.numel() // 2
    assert before[gone].abs().max() <= before[~gone].abs().min()


def test_curves_begin_with_one_function_and_say_how_many_numbers_are_left() -> None:
    model = model_of("eq7", **GENERAL)
    x = pictures().double()
    with torch.no_grad():
        labels = model(x).argmax(dim=1)  # all right at first
    found = pareto(model, x, labels, 2, steps=3, fractions=(0.0, 0.5, 1.0))
    assert set(found.accuracies) == {"as trained", "random P", "descent, l1", "gauge"}
    for name, values in found.accuracies.items():
        assert values[0] == 1.0, name
        lefts = found.numbers[name]
        assert lefts[0] > lefts[1] > lefts[2]
    # All that P of stage 2 moves is gone, and as much in all unknowns.
    assert len({lefts[2] for lefts in found.numbers.values()}) == 1
    assert "as trained" in str(found)
    assert len(found.plot().axes[0].lines) == 4
    with pytest.raises(SymmetryError, match=r"a label for each picture"):
        pareto(model, x, labels[:1])


def test_the_report_prints_a_table_and_draws() -> None:
    made = sparsify(model_of("eq7", **GENERAL), 2, gauge=False, steps=3)
    text = str(made.report)
    assert "as given" in text
    assert "cond(P)" in text
    assert len(made.report.plot().axes) == 2


def test_where_only_factors_act_no_zero_is_promised() -> None:
    with pytest.raises(SymmetryError, match=r"generalised permutations do, which make no entry 0"):
        sparsify(pn.create_model("eq3_small"), 2)
    with pytest.raises(SymmetryError, match=r"GL\(n\) or O\(n\) acts was expected"):
        sparsify(pn.create_model("eq3_small"))
    with pytest.raises(SymmetryError, match=r"objective is one of l1"):
        sparsify(model_of("eq7", **GENERAL), 2, gauge=False, objective="l2")
    with pytest.raises(SymmetryError, match=r"different stages"):
        sparsify(model_of("eq7", **GENERAL), (2, 2))
    with pytest.raises(SymmetryError, match=r"images is a tensor"):
        sparsify(model_of("eq7", **GENERAL), 2, images=torch.zeros(3))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stage": 2.0}, "stage is an integer of at least 1; got 2.0"),
        ({"stage": (2, True)}, "stage is an integer of at least 1; got True"),
        ({"stage": "2"}, "stage is an integer of at least 1; got '2'"),
        ({"size": -3}, "size is an integer of at least 1; got -3"),
        ({"size": (8, 8, 8)}, "size is one number of pixels"),
        ({"images": torch.zeros(0, 3, 8, 8)}, "one picture or more"),
        ({"threshold": -1.0}, "threshold is a number, 0 or more and less than 1; got -1.0"),
        ({"threshold": float("nan")}, "less than 1; got nan"),
        ({"threshold": 1.0}, "less than 1; got 1.0"),
        (
            {"threshold": None, "tolerance": -1.0},
            "tolerance is a number, 0 or more, finite; got -1",
        ),
        ({"threshold": None, "tolerance": float("nan")}, "finite; got nan"),
        ({"steps": -1}, "steps is an integer"),
        ({"seed": 0.5}, "seed is an integer"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SymmetryError) as caught:
        sparsify(model_of("eq7", **GENERAL), **{"stage": 2, **options})
    assert words in str(caught.value)


def test_a_stem_alone_has_no_unknowns_to_make_sparse() -> None:
    cut = pn.create_model("eq7_nows_x6_small", 5)
    cut.prune_intermediate_layers((0,))
    for stage in (None, 1):
        with pytest.raises(SymmetryError, match=r"with stages was expected.*stem"):
            sparsify(cut, stage)
