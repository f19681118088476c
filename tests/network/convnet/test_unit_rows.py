"""Unit rows: rows of the identity that an opening convolution does without."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

import pdenet as pn
from pdenet.errors import NetworkError
from pdenet.network.convnet.export import export
from pdenet.network.convnet.unit_rows import (
    UnitRows,
    block_of,
    leave_out,
    openings_with_unit_rows,
    write_out,
)
from tests.network.convnet.redraw import model_of, pictures

# Not in order, and with gaps: each component meets a row of its own.
ROWS = tuple(range(95, 31, -2))
ENTRY = UnitRows(2, 2, "C", ROWS)


def model_with_units() -> tuple[pn.Classifier, pn.Classifier]:
    """A model whose C of stage 2, block 2 has unit rows, and a copy without them."""
    whole = model_of("eq7_nows_x6_small").eval().double()
    tensor = block_of(whole, ENTRY).coefficients.tensors["C"]  # (96, 32)
    with torch.no_grad():
        tensor[list(ROWS)] = torch.eye(32, dtype=torch.float64)
    made = copy.deepcopy(whole)
    leave_out(made, [ENTRY])
    return whole, made


def test_rows_left_out_leave_the_function_and_take_their_parameters_along() -> None:
    whole, made = model_with_units()
    x = pictures(whole).double()
    # Sums of the same numbers, without products by 0 and 1.
    torch.testing.assert_close(made(x), whole(x), rtol=1e-12, atol=1e-12)
    before, after = (sum(p.numel() for p in m.parameters()) for m in (whole, made))
    assert before - after == 32 * 32
    assert made.state_dict()["stages.1.blocks.1.coefficients.tensors.C"].shape == (64, 32)


def test_the_other_rows_and_the_state_still_get_their_gradients() -> None:
    whole, made = model_with_units()
    x = pictures(whole).double()
    for model in (whole, made):
        model(x).square().sum().backward()
    name = "stages.1.blocks.1.coefficients.tensors.C"
    rest = [row for row in range(96) if row not in ROWS]
    expected = whole.get_parameter(name).grad
    assert expected is not None
    # One chain rule, sums in another order.
    torch.testing.assert_close(
        made.get_parameter(name).grad, expected[rest], rtol=1e-10, atol=1e-12
    )
    torch.testing.assert_close(
        made.stem[0].weight.grad, whole.stem[0].weight.grad, rtol=1e-9, atol=1e-12
    )


def test_a_config_makes_the_model_again_and_writing_out_gives_the_whole_one() -> None:
    whole, made = model_with_units()
    x = pictures(whole).double()
    again = pn.classifier_from_config(made.config).double().eval()
    again.load_state_dict(made.state_dict())
    assert torch.equal(again(x), made(x))
    assert torch.equal(made.fused()(x), whole.fused()(x)) or torch.allclose(
        made.fused()(x),
        whole.fused()(x),
        rtol=1e-12,  # as above
        atol=1e-12,
    )
    write_out(again)
    assert again.config == whole.config
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_program_is_exported(tmp_path: Path) -> None:
    made = model_of("eq7_nows_x6_small", layout=pn.Layout((8,), (1,))).eval()
    leave_out(made, [UnitRows(1, 1, "C", tuple(range(23, 7, -2)))])
    path = export(made, tmp_path / "model.pt2", "torch-export", image_size=9, dynamic_batch=False)
    x = torch.rand(1, 3, 9, 9)
    program = torch.export.load(path).module()
    # float32, a few layers.
    torch.testing.assert_close(program(x), made(x), rtol=1e-4, atol=1e-5)


def test_only_an_opening_convolution_of_its_own_can_do_without_rows() -> None:
    model = pn.create_model("eq7_nows_x6_small")
    block = block_of(model, ENTRY)
    assert set(openings_with_unit_rows(block)) == {"C", "D"}
    # With a norm behind, C u is not u; in Eq. (2) A_ijk meets the state twice.
    normed = pn.create_model("eq7_nows_x6_small", opening_norm=True)
    assert not openings_with_unit_rows(block_of(normed, ENTRY))
    eq2 = pn.create_model("eq2_small")
    assert not openings_with_unit_rows(block_of(eq2, ENTRY))
    with pytest.raises(NetworkError, match=r"opening convolution .* 'Ax_Ay' of stage 2"):
        leave_out(model, [UnitRows(2, 2, "Ax_Ay", ROWS)])
    with pytest.raises(NetworkError, match=r"32 different rows from 0 to 95 of C"):
        leave_out(model, [UnitRows(2, 2, "C", (3,) * 32)])
    with pytest.raises(NetworkError, match=r"got stage 9, block 1"):
        leave_out(model, [UnitRows(9, 1, "C", ROWS)])
    leave_out(model, [ENTRY])
    with pytest.raises(NetworkError, match=r"got them twice"):
        leave_out(model, [ENTRY])
    with pytest.raises(NetworkError, match=r"write them out first"):
        block.coefficients.entries("C")
    shared = pn.create_model("eq7_nows_x6_small", coefficients="shared")
    with pytest.raises(NetworkError, match=r"one block has for itself"):
        leave_out(shared, [ENTRY])


@pytest.mark.parametrize(
    ("given", "words"), [({}, "a list of dictionaries"), ([{"stage": 2}], "stage, block")]
)
def test_a_broken_config_says_so(given: object, words: str) -> None:
    with pytest.raises(NetworkError, match=words):
        pn.create_model("eq7_nows_x6_small", unit_rows=given)
