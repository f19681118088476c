"""Canonical and same_function: one representative an orbit; the P between networks."""

from __future__ import annotations

from typing import Any  # options of a classifier

import numpy as np
import pytest
import torch

import pdenet as pn
from pdenet.errors import SymmetryError
from pdenet.symmetry.network.canonical import Canonical, canonical, independent_rows, prepared
from pdenet.symmetry.network.group import group
from pdenet.symmetry.network.same import same_function
from pdenet.symmetry.network.stages import stage_of
from pdenet.symmetry.network.transform import transform, transforms
from tests.symmetry.network.models import EQUATIONS, LAYOUT, model_of, pictures

# GL(n) at all stages; positive permutations and O(n); O(n) with forms; the other shapes of Eq. (3).
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "GL(n) at every stage": ("eq7", {"activation": "none", "stem_projection": True}),
    "positive permutations, then O(n)": ("eq7", {}),
    "GL(n) with forms": ("eq2", {"quadratic_form": "identity"}),
    "signed permutations": ("eq3", {}),
    "generalised permutations": ("eq5", {"activation": "none"}),
}


def model(case: str) -> pn.Classifier:
    name, options = CASES[case]
    return model_of(name, **options)


@torch.no_grad()
def logits(given: pn.Classifier, x: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = given(x)
    return made


def gap(one: pn.Classifier, other: pn.Classifier) -> float:
    """The largest difference of two networks' numbers, relative to each tensor's largest."""
    mine, theirs = one.state_dict(), other.state_dict()
    return max(
        float((value - theirs[name]).abs().max() / value.abs().max().clamp(min=1e-300))
        for name, value in mine.items()
        if value.is_floating_point() and value.numel()
    )


@pytest.mark.parametrize("case", CASES)
def test_all_networks_of_an_orbit_have_one_representative_and_its_p_is_found(case: str) -> None:
    given = model(case)
    matrices = group(given).random(np.random.default_rng(1), condition=30.0)
    moved = transforms(given, matrices)
    first, second = canonical(given), canonical(moved)
    assert not first.ties
    # Two changes of condition 30 and some hundred: 1e-16 times that, and sums of 100 numbers.
    assert gap(first.model, second.model) < 1e-10
    x = pictures().double()
    expected = logits(given, x)
    scale = float(expected.abs().max())
    # The promise of `transform`, 200 eps cond(P), for three stages of cond(P) up to 100.
    assert float((logits(first.model, x) - expected).abs().max()) < 2e-11 * scale
    found = same_function(given, moved)
    assert found.verdict == "same"
    for stage, matrix in matrices.items():
        # Least squares of condition some 100.
        np.testing.assert_allclose(found.matrices[stage], matrix, atol=1e-11)


def rows(made: Canonical, stage: int, block: int) -> np.ndarray:
    """C and D of a block, read by their names, without the holders of the package."""
    tensors = made.model.state_dict()
    place = f"stages.{stage - 1}.blocks.{block - 1}.coefficients.tensors."
    return np.concatenate([tensors[place + name].numpy() for name in "CD"])


def test_under_gl_the_rows_of_the_normal_form_are_the_identity() -> None:
    table = rows(canonical(model("GL(n) at every stage")), 2, 2)
    units = np.eye(8)
    # Each unit vector is a row of C or D of the stage's second block, up to M⁻¹ M's rounding.
    gaps = np.abs(table[:, None] - units).max(axis=2).min(axis=0)
    assert gaps.max() < 1e-12


def test_a_normal_form_is_its_own() -> None:
    made = canonical(model("positive permutations, then O(n)"))
    again = canonical(made.model)
    for matrix in again.matrices.values():
        # P that leaves a normal form is the identity; one more rounding of size 1e-15 a row.
        np.testing.assert_allclose(matrix, np.eye(len(matrix)), atol=1e-11)


def test_a_change_of_one_weight_is_another_function_and_says_what_differs() -> None:
    given = model("GL(n) at every stage")
    moved = transforms(given, group(given).random(np.random.default_rng(0)))
    with torch.no_grad():
        moved.get_parameter("stages.1.blocks.1.coefficients.tensors.C")[3, 4] *= 1.01
    found = same_function(given, moved)
    assert found.verdict == "none"
    assert not found.matrices
    assert "the logits of 8 pictures differ" in found.invariant
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    assert float((logits(given, x) - logits(moved, x)).abs().max()) > 1e-9  # so they do


def test_a_change_that_no_picture_shows_is_not_called_the_same() -> None:
    """Hidden channels in another order: one function, and no P."""
    given = prepared(model("GL(n) at every stage"))
    moved = prepared(given)
    order = torch.from_numpy(np.random.default_rng(0).permutation(24))
    block = stage_of(moved, 2).blocks[1]
    assert isinstance(block, pn.PDEBlock)
    with torch.no_grad():
        for name in "CD":
            tensor = block.coefficients.tensors[name]
            tensor.copy_(tensor[order].clone())
        tensor = block.coefficients.tensors["Ax_Ay"]
        tensor.copy_(tensor[:, order].clone())
        for tensor in block.banks.convolutions["flux_0"].state_dict().values():
            if tensor.ndim and len(tensor) % 24 == 0:  # kernels are shared by all channels
                tensor.copy_(tensor.unflatten(0, (24, -1))[order].flatten(0, 1).clone())
    x = pictures().double()
    # The same sums in another order.
    torch.testing.assert_close(logits(moved, x), logits(given, x), rtol=1e-11, atol=1e-12)
    assert same_function(given, moved).verdict == "not found"


def test_rows_are_chosen_by_their_column_space_alone() -> None:
    rng = np.random.default_rng(0)
    table, p = rng.normal(size=(40, 12)), rng.normal(size=(12, 12))
    first, margin = independent_rows(table)
    second, _ = independent_rows(table @ p)
    assert first == second
    assert margin > 1e-6
    assert np.linalg.matrix_rank(table[first]) == 12


def test_networks_that_cannot_be_compared_say_why() -> None:
    one = pn.create_model("eq7_nows_x6_small", 5)
    with pytest.raises(SymmetryError, match=r"one architecture .* num_classes=5 and 6"):
        same_function(one, pn.create_model("eq7_nows_x6_small", 6))
    with pytest.raises(SymmetryError, match=r"pdenet.Classifier was expected; got Linear"):
        same_function(one, torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(SymmetryError, match=r"16 independent rows"):
        canonical(model_of("eq2"))


def test_float32_weights_are_compared_to_their_own_rounding() -> None:
    given = model_of("eq7", activation="none").float()
    p = group(given)[3].random(np.random.default_rng(2), condition=100.0)
    found = same_function(given, transform(given, 3, p))
    assert found.verdict == "same"
    # eps of float32 times cond(P) and a hundred numbers' sums
    np.testing.assert_allclose(found.matrices[3], p, atol=1e-3)


def of(equation: str, is_new: bool, **options: Any) -> pn.Classifier:
    if not is_new:
        return model_of(equation, **options)
    torch.manual_seed(0)
    return pn.catalogue[equation].to_classifier(3, layout=LAYOUT, **options).double().eval()


@pytest.mark.parametrize("is_new", [False, True], ids=["redrawn", "new"])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_representatives_agree_or_ties_say_why_not(equation: str, is_new: bool) -> None:
    given = of(equation, is_new, activation="none")
    moved = transforms(given, group(given).random(np.random.default_rng(1), condition=30.0))
    if equation == "eq2":
        with pytest.raises(SymmetryError, match="independent rows"):
            canonical(given)
        return
    first, second = canonical(given), canonical(moved)
    # The tolerance of the first test; an element of another representative differs by about 1.
    assert first.ties or second.ties or gap(first.model, second.model) < 1e-10
    if equation in ("eq3", "eq6"):
        assert not first.ties


def test_rows_of_eq_4_share_a_factor_and_new_coefficients_of_eq_5_fix_none() -> None:
    assert any("share a factor" in tie for tie in canonical(of("eq4", False)).ties)
    ties = canonical(of("eq5", True)).ties
    assert any("no coefficient has a slice for each component's factor" in tie for tie in ties)


def test_a_halved_head_is_another_function_in_float32_however_bad_p_is() -> None:
    given = model_of("eq7", activation="none").float()
    p = group(given)[3].random(np.random.default_rng(2), condition=900.0)
    moved = transform(given, 3, p)  # no warning yet: warnings are errors here
    assert same_function(given, moved).verdict == "same"
    with torch.no_grad():
        moved.get_parameter("head.weight").mul_(0.5)
    assert same_function(given, moved).verdict == "none"


def test_logits_within_what_bad_changes_round_to_are_never_called_another_function() -> None:
    """200 eps cond(P) of float32 and cond(P) = 1000 is 2.4e-2: below it nothing is known."""
    given = prepared(model_of("eq7", activation="none").float())
    for factor, verdict in ((1.01, "not found"), (1.1, "none")):
        moved = prepared(given)
        with torch.no_grad():
            moved.get_parameter("head.weight").mul_(factor)
            moved.get_parameter("head.bias").mul_(factor)
        assert same_function(given, moved).verdict == verdict


def test_a_stem_and_head_alone_have_no_unknowns_to_compare() -> None:
    cut = pn.create_model("eq7_nows_x6_small", 5)
    cut.prune_intermediate_layers((0,))
    with pytest.raises(SymmetryError, match=r"with stages was expected.*stem"):
        same_function(cut, cut)


def test_comparisons_refuse_arguments_of_no_sense() -> None:
    model = model_of("eq7", activation="none", norm=False)
    for tolerance in (-1.0, float("nan"), "1e-3"):
        with pytest.raises(SymmetryError, match="tolerance is a number"):
            same_function(model, model, tolerance)  # type: ignore[arg-type]
    with pytest.raises(SymmetryError, match="one picture or more"):
        same_function(model, model, images=torch.zeros(0, 3, 8, 8))
    model.prune_intermediate_layers([0])
    with pytest.raises(SymmetryError, match="a classifier with stages was expected"):
        canonical(model)
