"""Optimisers: which parameters decay, at which rate each layer learns, and the moving average."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any  # every kind of wrong value is given to the doors

import pytest
import torch
from torch import Tensor, nn

from pdenet.errors import TrainingError
from pdenet.training.loop.checkpoint import Checkpoints
from pdenet.training.loop.optimisers import (
    OPTIMIZERS,
    ModelEma,
    create_optimizer,
    set_rate,
)


class Layered(nn.Module):
    """A stem, two stages of two blocks, a norm and a head; one table that shall not decay."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3)
        self.stages = nn.ModuleList(
            nn.ModuleDict({"blocks": nn.ModuleList(nn.Conv2d(2, 2, 1) for _ in range(2))})
            for _ in range(2)
        )
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 3)
        self.table = nn.Parameter(torch.ones(2, 2))

    def no_weight_decay(self) -> set[str]:
        return {"table"}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        blocks = r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.blocks\.(\d+)"
        return {"stem": r"^(?:stem|table)", "blocks": [(blocks, None), (r"^norm", (99999,))]}


def by_name(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    """The group of each parameter."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: group for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize("opt", OPTIMIZERS)
def test_every_optimiser_takes_a_step_downhill(opt: str) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = create_optimizer(model, opt, lr=0.01, weight_decay=0.01)
    x = torch.randn(64, 4)
    target = x.sum(1, keepdim=True)

    def loss() -> Tensor:
        return (model(x) - target).square().mean()

    before = float(loss().detach())
    for _ in range(3):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert float(loss().detach()) < before


def test_names_mean_what_timm_s_users_know() -> None:
    """sgd is Nesterov's, momentum is not; without momentum there is no Nesterov."""
    model = nn.Linear(2, 2)
    sgd, plain = create_optimizer(model, "sgd"), create_optimizer(model, "momentum", momentum=0.8)
    assert isinstance(sgd, torch.optim.SGD)
    assert isinstance(plain, torch.optim.SGD)
    assert [g["nesterov"] for g in sgd.param_groups] == [True]
    assert [(g["nesterov"], g["momentum"]) for g in plain.param_groups] == [(False, 0.8)]
    assert not create_optimizer(model, "sgd", momentum=0.0).param_groups[0]["nesterov"]
    adam = create_optimizer(model, "adamw", betas=(0.8, 0.9), eps=1e-5)
    assert isinstance(adam, torch.optim.AdamW)
    assert adam.param_groups[0]["betas"] == (0.8, 0.9)
    assert adam.param_groups[0]["eps"] == 1e-5


def test_biases_norms_and_named_parameters_do_not_decay() -> None:
    model = Layered()
    model.head.weight.requires_grad_(False)
    groups = by_name(model, create_optimizer(model, weight_decay=0.05))
    for name, p in model.named_parameters():
        if name == "head.weight":
            assert name not in groups
        else:
            decays = p.ndim > 1 and name != "table"
            assert groups[name]["weight_decay"] == (0.05 if decays else 0.0), name


def test_layers_decay_from_the_head_down() -> None:
    model = Layered()
    optimizer = create_optimizer(model, lr=1.0, weight_decay=0.05, layer_decay=0.5)
    groups = by_name(model, optimizer)
    # stem and table, four blocks, the norm with the last of them, the head above.
    expected = {"stem": 5, "table": 5, "norm": 1, "head": 0}
    expected |= {f"stages.{s}.blocks.{b}": 4 - 2 * s - b for s in range(2) for b in range(2)}
    for name, group in groups.items():
        layer = next(key for key in expected if name.startswith(key))
        assert group["lr_scale"] == 0.5 ** expected[layer], name
    set_rate(optimizer, 0.25)
    assert all(group["lr"] == 0.25 * group["lr_scale"] for group in groups.values())
    assert all(
        group["weight_decay"] == (0.05 if "weight" in name and "norm" not in name else 0.0)
        for name, group in groups.items()
    )


def test_a_rate_is_set_in_groups_of_any_optimiser() -> None:
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=1.0)
    set_rate(optimizer, 0.125)
    assert optimizer.param_groups[0]["lr"] == 0.125


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"opt": "Adam"}, "Did you mean 'adam'"),
    "lamb": ({"opt": "lamb"}, "opt is one of sgd, momentum"),
    "no text": ({"opt": None}, "got None"),
    "lr negative": ({"lr": -1.0}, "lr is a number"),
    "lr NaN": ({"lr": math.nan}, "lr .* got nan"),
    "lr infinite": ({"lr": math.inf}, "lr .* got inf"),
    "lr a text": ({"lr": "1"}, "lr .* got '1'"),
    "lr a bool": ({"lr": True}, "lr .* got True"),
    "decay negative": ({"weight_decay": -1e-4}, "weight_decay"),
    "momentum 1": ({"momentum": 1.0}, "momentum is a number from 0 to below 1"),
    "beta 1": ({"opt": "adam", "betas": (0.9, 1.0)}, "betas"),
    "one beta": ({"opt": "adam", "betas": (0.9,)}, "betas"),
    "eps negative": ({"opt": "adam", "eps": -1e-8}, "eps"),
    "layer decay 0": ({"layer_decay": 0.0}, "layer_decay"),
    "layer decay above 1": ({"layer_decay": 1.1}, "layer_decay"),
    "layer decay without layers": ({"layer_decay": 0.9}, r"Linear has no such method"),
}


@pytest.mark.parametrize("case", BAD)
def test_options_that_make_no_sense_are_refused(case: str) -> None:
    change, message = BAD[case]
    with pytest.raises(TrainingError, match=message):
        create_optimizer(nn.Linear(2, 2), **change)


def test_a_frozen_model_has_nothing_to_train() -> None:
    with pytest.raises(TrainingError, match="got none"):
        create_optimizer(nn.Linear(2, 2).requires_grad_(False))


# --- the moving average --------------------------------------------------------------------------


def moved(model: nn.Module, number: float) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(number)
    return model


@pytest.mark.parametrize("warmup", [False, True])
def test_the_average_is_the_weighted_sum_of_all_states(warmup: bool) -> None:
    """Against the sum written out, in float64."""
    model = moved(nn.Linear(2, 2).double(), 1.0)
    ema = ModelEma(model, decay=0.7, warmup=warmup)
    weights = [1.0]
    values = [1.0, 2.0, -1.0, 0.5, 3.0, 4.0]
    for t, value in enumerate(values[1:], 1):
        ema.update(moved(model, value))
        decay = min(0.7, (1 + t) / (10 + t)) if warmup else 0.7
        weights = [decay * w for w in weights] + [1 - decay]
    expected = sum(w * v for w, v in zip(weights, values, strict=True))
    for p in ema.module.parameters():
        # Five updates of three roundings each.
        torch.testing.assert_close(p, torch.full_like(p, expected), rtol=1e-14, atol=0)
    assert int(ema.n_averaged) == 6  # with the first


def test_buffers_are_copied_and_the_model_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ema = ModelEma(model)
    assert not ema.module.training
    assert not any(p.requires_grad for p in ema.parameters())
    model(torch.randn(8, 2))
    before = copy.deepcopy(model.state_dict())
    ema.update(model)
    for name, buffer in model.named_buffers():
        assert torch.equal(dict(ema.module.named_buffers())[name], buffer)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    x = torch.randn(3, 2)
    assert torch.equal(ema(x), ema.module(x))


def test_a_state_that_does_not_move_is_its_own_average() -> None:
    model = nn.Linear(3, 3)
    ema = ModelEma(model, decay=0.9)
    for _ in range(10):
        ema.update(model)
    assert torch.equal(next(ema.module.parameters()), model.weight)


def test_an_average_resumes_bit_for_bit(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ema = ModelEma(model)
    ema.update(moved(model, 2.0))
    Checkpoints(tmp_path).save("last", 1, {}, {"ema": ema.state_dict()})
    saved = Checkpoints(tmp_path).load()
    assert saved is not None
    other = ModelEma(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    state: Any = saved.state["ema"]
    other.load_state_dict(state)
    for one in (ema, other):
        one.update(moved(model, 5.0))
    for name, value in ema.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


def test_an_average_of_another_model_is_refused() -> None:
    with pytest.raises(TrainingError, match="Give the bare module"):
        ModelEma(nn.Linear(2, 2)).update(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize("decay", [1.0, -0.1, math.nan, "0.9", True, None])
def test_a_decay_that_makes_no_sense_is_refused(decay: Any) -> None:
    with pytest.raises(TrainingError, match="decay"):
        ModelEma(nn.Linear(2, 2), decay=decay)
