"""A classifier in other unknowns computes the same: every model, stage and kind of matrix."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any  # options of a classifier

import numpy as np
import pytest
import sympy as sp
import torch
from torch import nn

import pdenet as pn
from pdenet.errors import SymmetryError, SymmetryWarning
from pdenet.network.convnet.fusing import copied
from pdenet.network.convnet.stage_folding import fold_stages
from pdenet.symmetry.groups import Group
from pdenet.symmetry.network.group import group
from pdenet.symmetry.network.transform import transform, transforms
from tests.network.convnet.test_fusing import A, i, j, k, t, u, x
from tests.symmetry.network.models import (
    EQUATIONS,
    LAYOUT,
    OPTIONS,
    OTHER_EQUATIONS,
    model_of,
    pictures,
)
from tests.tiers import mostly_deep

EPS = 2.0**-52


def logits(model: nn.Module, x: torch.Tensor | None = None) -> torch.Tensor:
    with torch.no_grad():
        made: torch.Tensor = model(pictures() if x is None else x)
    return made


def assert_same_function(one: nn.Module, other: nn.Module, condition: float) -> None:
    """To 200 eps cond(P) of the largest logit: what is promised."""
    expected, found = logits(one), logits(other)
    assert (found - expected).abs().max() <= 200 * EPS * condition * expected.abs().max()


def assert_moved(one: nn.Module, other: nn.Module) -> None:
    """Weights that stayed would prove nothing."""
    state = other.state_dict()
    gaps = [
        float((tensor - state[name]).abs().max())
        for name, tensor in one.state_dict().items()
        if name in state and tensor.shape == state[name].shape and tensor.is_floating_point()
    ]
    assert max(gaps) > 0.1


def check_every_stage(model: pn.Classifier, condition: float) -> None:
    found = group(model)
    for stage in (1, 2, 3):
        for training in (False, True):
            rng = np.random.default_rng(stage)
            matrix = found[stage].random(rng, condition, training)
            moved = transform(model, stage, matrix)
            # Eq. (2)'s A_ijk takes P three times, A_ij of a linear term twice.
            assert_same_function(model, moved, np.linalg.cond(matrix) ** 3)
            kept = found[stage].kept.values()
            assert moved.folded_stages == () or any(one.fault(matrix) for one in kept)
            assert moved.folded_stages == () or not training
            if np.abs(matrix - np.eye(len(matrix))).max() > 0.1:
                assert_moved(model, moved)


# Every option for a form with GL(n) and for one without; what forms differ in, for the others.
CASES = [(equation, name) for equation in ("eq3", "eq7") for name in OPTIONS] + [
    (equation, name)
    for equation in ("eq2", "eq4", "eq5", "eq6")
    for name in ("as published", "no activation", "no norms", "opening norms", "shared in depth")
]


# One equation with GL(n), one without, and the others; every option with one of the two.
QUICK = [CASES[k] for k in range(0, len(OPTIONS), 2)]
QUICK += [CASES[k] for k in range(len(OPTIONS) + 1, 2 * len(OPTIONS), 2)]
QUICK += [(equation, "as published") for equation in ("eq2", "eq4", "eq5", "eq6")]


@pytest.mark.parametrize(("equation", "option"), mostly_deep(CASES, QUICK))
def test_the_function_stays_in_other_unknowns_of_a_stage(equation: str, option: str) -> None:
    check_every_stage(model_of(equation, **OPTIONS[option]), condition=30.0)


@pytest.mark.parametrize("name", mostly_deep(OTHER_EQUATIONS, [*OTHER_EQUATIONS][::4]))
def test_the_function_stays_for_equations_that_the_paper_does_not_have(name: str) -> None:
    check_every_stage(model_of(OTHER_EQUATIONS[name], activation="none"), condition=30.0)


@pytest.mark.parametrize("condition", mostly_deep([1.0, 1e1, 1e2, 1e3], [1e3]))
def test_the_function_stays_at_every_condition_and_all_stages_at_once(condition: float) -> None:
    """No published system has this: activations included, GL(n) at every stage."""
    model = model_of("eq7", stem_projection=True, quadratic_form="trainable")
    found = group(model)
    assert all(one.evaluation["u"] == Group() for one in found.stages)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SymmetryWarning)  # cond rounds to just above 1e3
        for seed in range(3):
            matrices = found.random(np.random.default_rng(seed), condition)
            moved = transforms(model, matrices)
            assert moved.folded_stages == (1, 2, 3)
            # Three changes of this condition one after another, each coefficient taking one P.
            assert_same_function(model, moved, 3 * condition)
            assert_moved(model, moved)


@pytest.mark.deep(law="test_the_function_stays_in_other_unknowns_of_a_stage")
@pytest.mark.parametrize(
    ("name", "options"),
    [("eq7_nows_x6", {}), ("eq3", {"activation": "none"}), ("eq6", {})],
    ids=["eq7", "eq3", "eq6"],
)
def test_a_model_of_the_size_of_resnet50_in_float32(name: str, options: dict[str, Any]) -> None:
    """A random orthogonal matrix (where the group has them) changes logits by at most 2e-5."""
    from tests.network.convnet.redraw import model_of as published
    from tests.network.convnet.redraw import pictures as large

    model = published(name, 100, **options).eval()
    stage = group(model)[3]
    matrix = stage.random(np.random.default_rng(0), condition=1.0)
    x = large(model)
    expected = logits(model, x)
    found = logits(transform(model, 3, matrix), x)
    # The published demonstration reports 1.5e-5, absolute.
    assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()
    if name == "eq7_nows_x6":
        assert stage.evaluation["u"] == Group("orthogonal", common=False)


# -- training mode ---------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", mostly_deep(EQUATIONS, ["eq3", "eq7"]))
def test_signed_and_positive_permutations_leave_training_mode_as_it_is(equation: str) -> None:
    """Batch statistics move with their components; no ε is felt where numbers are ±1."""
    model = model_of(equation)
    behind_derivatives = equation != "eq7"  # whose norms stand behind hidden products
    for found in group(model_of(equation, activation="none")).stages:
        assert (found.training["u"] <= SIGNS) == behind_derivatives
    for stage in (1, 2, 3):
        matrix = group(model)[stage].random(np.random.default_rng(stage), 9.0, training=True)
        moved = transform(model, stage, matrix)
        assert logits(model.train()).shape == (2, 3)
        one, other = logits(model.train()), logits(moved.train())
        # Batch norms divide by spreads of few pixels: some 1e3 roundings.
        assert (one - other).abs().max() <= 1e-11 * one.abs().max()
        model.eval()


def test_gl_leaves_training_mode_as_it_is_without_norms() -> None:
    model = model_of("eq7", norm=False, stem_projection=True, quadratic_form="trainable")
    found = group(model)
    assert all(one.training["u"] == Group() for one in found.stages)
    moved = transforms(model, found.random(np.random.default_rng(0), 10.0, training=True))
    assert moved.folded_stages == ()
    one, other = logits(model.train()), logits(moved.train())
    assert (one - other).abs().max() <= 1e-11 * one.abs().max()


def test_the_gradient_flows_through_the_action() -> None:
    """∂L/∂W̃ = P⁻¹ ∂L/∂W is not what moved weights have: the metric is not invariant. By what is
    invariant, the loss: one step in the direction of the moved gradient lowers both alike."""
    model = model_of("eq7", norm=False, stem_projection=True, activation="none")
    orthogonal = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0]
    moved = transform(model, 3, orthogonal)
    x, labels = pictures(), torch.tensor([0, 2])
    losses = []
    for one in (model, moved):
        optimiser = torch.optim.SGD(one.parameters(), lr=0.05)
        nn.functional.cross_entropy(one(x), labels).backward()
        optimiser.step()
        losses.append(nn.functional.cross_entropy(logits(one), labels))
    # Orthogonal changes keep the metric: gradient descent is the same in both unknowns.
    assert abs(losses[0] - losses[1]) <= 1e-12
    assert losses[0] != nn.functional.cross_entropy(
        logits(model_of("eq7", norm=False, stem_projection=True, activation="none")), labels
    )


# -- group laws ------------------------------------------------------------------------------------


def assert_close_states(one: nn.Module, other: nn.Module, tolerance: float) -> None:
    state = other.state_dict()
    assert set(state) == set(one.state_dict())
    for name, tensor in one.state_dict().items():
        if tensor.is_floating_point():
            scale = float(tensor.abs().max())
            assert (tensor - state[name]).abs().max() <= tolerance * max(scale, 1.0), name


@pytest.mark.parametrize("equation", mostly_deep(EQUATIONS, ["eq3", "eq7"]))
@pytest.mark.parametrize("kind", ["no norms", "as published", "free at every stage"])
def test_changes_form_a_group(equation: str, kind: str) -> None:
    """Identity, composition and inverse, weight by weight."""
    model = model_of(equation, **OPTIONS[kind])
    for stage in (1, 3):
        found = group(model)[stage]
        one, two = (found.random(np.random.default_rng(seed), 5.0) for seed in (1, 2))
        moved = transform(model, stage, one)
        # Roundings of two products with matrices of condition 5 and 25.
        composed = transform(moved, stage, two)
        assert_close_states(composed, transform(model, stage, one @ two), 1e-11)
        back = transform(moved, stage, np.linalg.inv(one))
        start = model
        if back.folded_stages:
            start = copied(model)
            fold_stages(start, [stage])
        assert_close_states(back, start, 1e-11)
        same = transform(model, stage, np.eye(found.channels))
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(tensor, same.state_dict()[name], rtol=4 * EPS, atol=0)


# -- what is returned ------------------------------------------------------------------------------


def test_the_model_stays_and_the_copy_is_saved_loaded_and_trained_further(tmp_path: Path) -> None:
    model = model_of("eq7", quadratic_form="identity")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    moved = transform(model, 3, group(model)[3].random(np.random.default_rng(0)))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert moved.training is model.training
    again = pn.load_classifier(pn.save_weights(moved, tmp_path / "moved.safetensors")).double()
    pn.load_weights(again, tmp_path / "moved.safetensors")
    assert torch.equal(logits(again), logits(moved))
    assert again.config == moved.config
    assert {name for name, _ in moved.named_parameters()} >= {"head.weight", "head.bias"}
    moved.train()(pictures()).square().mean().backward()
    assert all(parameter.grad is not None for parameter in moved.parameters())


def test_an_identity_form_moves_with_the_state_and_is_not_trained() -> None:
    model = model_of("eq7", quadratic_form="identity")
    matrix = group(model)[3].random(np.random.default_rng(0))
    moved = transform(model, 3, matrix)
    old, new = (m.get_buffer("final.factor") for m in (model, moved))
    # One product with P, rounded.
    torch.testing.assert_close(new, old @ torch.from_numpy(matrix), rtol=0, atol=1e-13)
    assert "final.factor" not in dict(moved.named_parameters())


def test_a_fused_model_changes_its_unknowns_too() -> None:
    for equation in EQUATIONS:
        model = model_of(equation, activation="none").fused()
        for stage in (1, 2, 3):
            matrix = group(model)[stage].random(np.random.default_rng(stage))
            assert_same_function(model, transform(model, stage, matrix), np.linalg.cond(matrix))


# -- refusals --------------------------------------------------------------------------------------


def test_matrices_that_are_no_changes_of_unknowns_are_refused_by_name_and_number() -> None:
    model = model_of("eq7")
    shear = np.eye(16)
    shear[0, 1] = 1.0  # ‖PᵀP − I‖² = 1 + 1 + 1
    cases: list[tuple[Any, Any, str]] = [
        (3, shear, r"O\(16\).*‖PᵀP − I‖ = 1.73.*softball measures uᵀu"),
        (3, np.zeros((16, 16)), r"singular matrix, cond\(P\) = inf"),
        (3, np.ones((16, 16)), r"singular"),
        (3, np.eye(8), r"shape \(16, 16\).*got \(8, 8\)"),
        (3, np.eye(16)[:8], r"shape \(16, 16\).*got \(8, 16\)"),
        (3, np.full((16, 16), np.nan), r"finite numbers; got 256"),
        (3, "P", r"real matrix of shape \(16, 16\); got str"),
        (3, None, r"real matrix|shape"),
        (3, np.eye(16) * 1j, r"real matrix"),
        (3, [[1], [2, 3]], r"real matrix"),
        (1.0, np.eye(4), r"from 1 to 3; got 1.0"),
        (4, np.eye(16), r"from 1 to 3; got 4"),
        (0, np.eye(16), r"from 1 to 3; got 0"),
        (True, np.eye(16), r"from 1 to 3; got True"),
        ("3", np.eye(16), r"from 1 to 3; got '3'"),
        (1, -np.eye(4), r"positive generalised permutations.*one is -1.*stem_projection=True"),
        (1, np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0], r"more than one"),
    ]
    for stage, matrix, message in cases:
        with pytest.raises(SymmetryError, match=message):
            transform(model, stage, matrix)
    with pytest.raises(SymmetryError, match=r"pdenet.Classifier was expected; got Linear"):
        transform(nn.Linear(3, 3), 1, np.eye(3))  # type: ignore[arg-type]
    for few in ([np.eye(4)], None, 3):
        with pytest.raises(SymmetryError, match=r"each of the 3 stages"):
            transforms(model, few)  # type: ignore[arg-type]
    model.prune_intermediate_layers([0])
    with pytest.raises(SymmetryError, match=r"a classifier with stages was expected"):
        transform(model, 1, np.eye(4))


@pytest.mark.parametrize("equation", ["eq2", "eq7"])
def test_the_error_grows_with_as_many_powers_of_the_condition_as_a_coefficient_takes_matrices(
    equation: str,
) -> None:
    """Measured over conditions; A_ijk of Eq. (2) takes P three times, those of Eq. (7) once."""
    model = model_of(equation, activation="none", stem_projection=True)
    power = {"eq2": 3, "eq7": 1}[equation]
    expected = logits(model)
    for condition in (10.0, 100.0, 900.0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SymmetryWarning)
            matrix = Group().random(8, np.random.default_rng(0), condition)
            change = (logits(transform(model, 2, matrix)) - expected).abs().max()
        assert change <= 200 * EPS * condition**power * expected.abs().max()
    stretch = Group().random(8, np.random.default_rng(0), 300.0)
    if equation == "eq2":  # in float32 1.2e-7 · 2.7e7 is more than 1e-3
        with pytest.raises(SymmetryError, match=r"cond\(P\)\^3 eps = 3"):
            transform(model.float(), 2, stretch)


def test_factors_that_would_overflow_are_refused() -> None:
    model = model_of("eq3", activation="none").float()
    for factor in (1e-20, 1e20):
        with pytest.raises(SymmetryError, match=r"singular values from .* float32.*scale it"):
            transform(model, 2, factor * np.eye(8))
    moved = transform(model, 2, 1e6 * np.eye(8))
    # Powers of 10 are rounded as all numbers are.
    one, other = (logits(m, pictures().float()) for m in (model, moved))
    assert (other - one).abs().max() <= 1e-5 * one.abs().max()


def test_what_a_group_draws_is_accepted() -> None:
    """Of an equation for which folding other stages' norms too gives another group."""
    pde = pn.PDE(sp.Eq(u[i].diff(t), u[i] * A[j, k] * u[j] * u[k].diff(x)))
    for name, options in OPTIONS.items():
        if name in ("no activation", "a projected stem", "no norms"):
            model = model_of(pde, **options)
            found = group(model)
            for stage in (1, 2, 3):
                for training in (False, True):
                    matrix = found[stage].random(np.random.default_rng(0), 5.0, training)
                    assert_same_function(model, transform(model, stage, matrix), 5.0**3)


@pytest.mark.parametrize("options", [OPTIONS["no norms"], OPTIONS["kernels of each channel"]])
def test_fields_that_share_a_coefficient_move_together(options: dict[str, Any]) -> None:
    v = pn.VectorField("v", u.size, (t, *u.coordinates[1:]))
    pde = pn.PDE(
        sp.Eq(u[i].diff(t), A[i, j] * v[j].diff(x)),
        sp.Eq(v[i].diff(t), A[i, j] * u[j].diff(u.coordinates[2])),
    )
    check_every_stage(model_of(pde, **options), condition=10.0)
    alone = np.kron(np.diag([1.0, 0.0]), np.eye(4)[[1, 0, 2, 3]]) + np.diag([0.0] * 4 + [1.0] * 4)
    with pytest.raises(SymmetryError, match=r"have one matrix|move components alike"):
        transform(model_of(pde, **options), 2, alone)


def test_ill_conditioned_matrices_are_warned_of_and_refused_where_digits_run_out() -> None:
    model = model_of("eq7", activation="none")
    mixed = Group().random(16, np.random.default_rng(0), 2e3)
    with pytest.warns(SymmetryWarning, match=r"cond\(P\) = 2e\+03 of stage 3.*4e-13"):
        moved = transform(model, 3, mixed)
    assert_same_function(model, moved, 2e3)
    # eps of float32 is 1.2e-7: 2e3 loses 2.4e-4, 2e4 more than 1e-3.
    with pytest.warns(SymmetryWarning, match=r"0\.0002"):
        transform(model.float(), 3, mixed)
    mixed = Group().random(16, np.random.default_rng(0), 2e4)
    with pytest.raises(SymmetryError, match=r"cond\(P\) = 2e\+04.*0.002.*float32.*model.double"):
        transform(model, 3, mixed)
    # A factor mixes nothing and loses no digits.
    stretch = np.diag([2e3] + [1.0] * 15)
    with pytest.warns(SymmetryWarning, match=r"weights will differ in size"):
        moved = transform(model, 3, stretch)
    one, other = (logits(m, pictures().float()) for m in (model, moved))
    assert (other - one).abs().max() <= 1e-5 * one.abs().max()


# -- groups ----------------------------------------------------------------------------------------

GENERAL, ORTHOGONAL = Group(), Group("orthogonal", common=False)
MONOMIAL, POSITIVE = Group("monomial"), Group("monomial", "positive")
SIGNS = Group("monomial", "signs", common=False)
ONES = Group("monomial", "one", common=False)


@pytest.mark.parametrize("equation", mostly_deep(EQUATIONS, ["eq3", "eq5", "eq7"]))
@pytest.mark.parametrize("activation", ["none", "relu", "hardtanh", "hardball", "softball"])
def test_groups_of_every_equation_and_activation(equation: str, activation: str) -> None:
    """GL(n) for Eqs. (2) and (7), else generalised permutations, cut by the activation."""
    found = group(model_of(equation, activation=activation))
    block = GENERAL if equation in ("eq2", "eq7") else MONOMIAL
    if equation == "eq5":  # the first block of the next stage has products u_k ∂u_i in its outputs
        block = Group("diagonal")
    of = {"none": GENERAL, "relu": POSITIVE, "hardtanh": SIGNS}.get(activation, ORTHOGONAL)
    for one in found.stages:
        # "stages": behind each block that changes width, and behind the last stage.
        is_acted = one.stage > 1 or activation == "relu"
        wanted = block & of if is_acted else block & POSITIVE
        assert one.evaluation["u"] == wanted
        assert one.training["u"] <= wanted


def test_a_form_of_its_own_frees_and_a_projection_frees_the_first_stage() -> None:
    freed = group(model_of("eq7", quadratic_form="trainable"))
    assert [one.evaluation["u"] for one in freed.stages] == [POSITIVE, GENERAL, GENERAL]
    freed = group(model_of("eq7", quadratic_form="trainable", stem_projection=True))
    assert [one.evaluation["u"] for one in freed.stages] == [GENERAL] * 3
    assert "stem" not in str(freed)


def test_groups_say_what_limits_them() -> None:
    text = str(group(model_of("eq3")))
    assert "the index j stands three times" in text
    assert "the stem: positive generalised permutations" in text
    assert "softball measures uᵀu" in text
    plain = group(pn.catalogue["eq7"].to_classifier(0, layout=LAYOUT, activation="none"))
    assert plain[3].evaluation["u"].is_trivial
    assert "without a linear map its features are the result" in str(plain[3])


def test_two_fields_of_a_pair_share_their_matrix() -> None:
    layout = pn.Layout(widths=(8,), depths=(2,))
    pde = OTHER_EQUATIONS["second order in time"]
    model = model_of(pde, activation="none", norm=False, layout=layout, stem_projection=True)
    found = group(model)[1]
    assert found.fields == ("u", "u_t")
    assert found.evaluation == {"u": GENERAL, "u_t": GENERAL}
    assert found.equal == (frozenset(("u", "u_t")),)
    half = found.random(np.random.default_rng(0))[:4, :4]
    moved = transform(model, 1, half)
    assert_same_function(model, moved, np.linalg.cond(half))
    assert_moved(model, moved)
    with pytest.raises(SymmetryError, match=r"entries between them"):
        transform(model, 1, np.roll(np.eye(8), 1, axis=0))
    with pytest.raises(SymmetryError, match=r"have one matrix"):
        transform(model, 1, np.kron(np.diag([1.0, 2.0]), half))
