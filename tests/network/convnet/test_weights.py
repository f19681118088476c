"""Weights in a safetensors file: whole or not there, each tensor once, and nothing wrong read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

import pdenet as pn
from pdenet.errors import CheckpointError, NetworkError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.models import load_classifier
from pdenet.network.convnet.weights import (
    load_weights,
    read_config,
    save_weights,
)
from tests.network.convnet.redraw import redraw
from tests.tiers import Each


def small(name: str = "eq3_small", seed: int = 0, **options: object) -> pn.Classifier:
    torch.manual_seed(seed)
    layout = pn.Layout((8, 16), (2, 2))
    model = pn.create_model(name, 10, in_channels=1, layout=layout, **options)
    return redraw(model, seed).eval()


PICTURES = torch.randn(2, 1, 9, 8, generator=torch.Generator().manual_seed(0))


def test_a_saved_model_comes_back_as_it_was(each: Each, tmp_path: Path) -> None:
    cells = itertools.product(pn.list_models("small"), (False, True))
    for (name, fused), cell in each(cells, key=str):
        with cell:
            model = small(name)
            model = model.fused() if fused else model
            path = save_weights(model, tmp_path / "model.safetensors")
            again = load_classifier(path)
            assert torch.equal(again(PICTURES), model(PICTURES))
            assert again.config == model.config
            assert again.is_fused is fused
            assert not again.training
            assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_shared_tensors_are_stored_once(tmp_path: Path) -> None:
    shared = small(coefficients="shared")
    sizes = {}
    for kind, model in (("shared", shared), ("free", small())):
        path = save_weights(model, tmp_path / f"{kind}.safetensors")
        sizes[kind] = sum(t.numel() for t in safetensors.torch.load_file(path).values())
    twice = sum(t.numel() for t in shared.state_dict().values())
    # Stage 1 has two blocks of one shape, stage 2 one behind the first of stride 2.
    first, second = [b for b in shared.modules() if isinstance(b, PDEBlock)][:2]
    saved = sum(p.numel() for p in second.parameters() if any(p is q for q in first.parameters()))
    assert saved > 0
    assert sizes["shared"] == twice - saved == sizes["free"] - saved
    assert torch.equal(load_classifier(tmp_path / "shared.safetensors")(PICTURES), shared(PICTURES))


def test_shared_weights_load_into_a_model_with_free_ones_but_not_the_reverse(
    tmp_path: Path,
) -> None:
    shared, free = small(coefficients="shared"), small(seed=1)
    save_weights(shared, tmp_path / "shared")
    save_weights(free, tmp_path / "free")
    load_weights(free, tmp_path / "shared")
    assert torch.equal(free(PICTURES), shared(PICTURES))
    with pytest.raises(NetworkError, match=r"one tensor of this model.*coefficients=\"free\""):
        load_weights(shared, tmp_path / "free")


def test_a_file_of_another_program_with_each_tensor_once_is_read(tmp_path: Path) -> None:
    model = small(coefficients="shared")
    tensors: dict[str, torch.Tensor] = dict(model.named_parameters())  # each once
    tensors |= dict(model.named_buffers())
    path = tmp_path / "plain.safetensors"
    safetensors.torch.save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path)
    again = small(seed=1, coefficients="shared")
    load_weights(again, path)
    assert torch.equal(again(PICTURES), model(PICTURES))
    with pytest.raises(CheckpointError, match="says which model"):
        read_config(path)


def test_the_dtype_is_the_models_own(tmp_path: Path) -> None:
    model = small()
    save_weights(model, tmp_path / "w")
    double = small(seed=1).double()
    load_weights(double, tmp_path / "w")
    weight = double.get_parameter("head.weight")
    assert torch.equal(weight, model.get_parameter("head.weight").double())


def test_any_module_can_be_saved(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    save_weights(module, tmp_path / "w")
    again = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    load_weights(again, tmp_path / "w")
    for name, tensor in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


# -- bad files ---------------------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    safetensors.torch.save_file(tensors, path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1  # one bit of one weight
    path.write_bytes(content)


def alias_to_nothing(path: Path) -> None:
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file(tensors, path, {"aliases": json.dumps({"a": "b"})})


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "none": (lambda p: p.unlink(), "there is no file"),
    "empty": (lambda p: p.write_bytes(b""), "is damaged"),
    "cut off": (cut, "is damaged"),
    "one bit wrong": (flipped, "checksum"),
    "another kind of file": (lambda p: p.write_bytes(b"PK\x03\x04" * 100), "is damaged"),
    "an alias of nothing": (alias_to_nothing, "which it does not hold"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_file_is_an_error_and_changes_nothing(
    damage: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    model = small()
    path = save_weights(model, tmp_path / "w")
    damage(path)
    other = small(seed=1)
    before = other(PICTURES)
    with pytest.raises(CheckpointError, match=words):
        load_weights(other, path)
    assert torch.equal(other(PICTURES), before)


UNFIT: dict[str, tuple[Callable[[dict[str, torch.Tensor]], object], str]] = {
    "a tensor missing": (lambda t: t.pop("head.bias"), r"missing: head\.bias"),
    "a tensor too many": (lambda t: t.update(extra=torch.zeros(1)), "unexpected: extra"),
    "a tensor of another shape": (
        lambda t: t.update({"head.bias": torch.zeros(9)}),
        r"head\.bias \(9,\) instead of \(10,\)",
    ),
    "integers": (
        lambda t: t.update({"head.bias": torch.zeros(10, dtype=torch.int64)}),
        r"head\.bias torch\.int64 instead of torch\.float32",
    ),
}


@pytest.mark.parametrize(("change", "words"), UNFIT.values(), ids=list(UNFIT))
def test_tensors_that_do_not_fit_are_named_and_nothing_is_loaded(
    change: Callable[[dict[str, torch.Tensor]], None], words: str, tmp_path: Path
) -> None:
    path = save_weights(small(), tmp_path / "w")
    rewritten(path, change)
    other = small(seed=1)
    before = other(PICTURES)
    with pytest.raises(NetworkError, match=words):
        load_weights(other, path)
    assert torch.equal(other(PICTURES), before)


def test_weights_of_another_equation_are_refused_with_its_name(tmp_path: Path) -> None:
    path = save_weights(small("eq7_nows_x6_small"), tmp_path / "w")
    with pytest.raises(NetworkError, match=r"weights of .*C_jk.*missing: "):
        load_weights(small(), path)


def test_numbers_that_are_not_finite_are_refused_unless_wanted(tmp_path: Path) -> None:
    model = small()
    with torch.no_grad():
        model.get_parameter("head.bias")[3] = float("nan")
    path = tmp_path / "w"
    with pytest.raises(CheckpointError, match=r"head\.bias \(1 of 10\)"):
        save_weights(model, path)
    assert not path.exists()
    save_weights(model, path, allow_non_finite=True)
    with pytest.raises(CheckpointError, match=r"head\.bias \(1 of 10\)"):
        load_classifier(path)
    assert load_classifier(path, allow_non_finite=True)(PICTURES).isnan().any()


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a folder that exists"):
        save_weights(nn.Linear(1, 1), tmp_path / "no" / "w")
