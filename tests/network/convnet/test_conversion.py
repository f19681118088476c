"""Checkpoints of the authors, against a literal implementation of their block in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pdenet.errors import CheckpointError, PdenetError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.conversion import convert_authors_checkpoint
from pdenet.network.convnet.models import classifier_from_config

Weights = dict[str, torch.Tensor]


class Block(nn.Module):
    """1×1 n → 2kn, BN; product of the halves; depthwise kn → 2kn, BN; 1×1 2kn → out, BN; skip."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        hidden = (4 if width <= 128 else 2) * width
        self.conv1 = nn.Conv2d(width, 2 * hidden, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(2 * hidden)
        self.conv2 = nn.Conv2d(
            hidden, 2 * hidden, 3, stride=stride, padding=1, groups=hidden, bias=False
        )
        self.bn2 = nn.BatchNorm2d(2 * hidden)
        self.conv3 = nn.Conv2d(2 * hidden, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(width, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.bn1(self.conv1(x)).chunk(2, dim=1)
        made: torch.Tensor = self.bn3(self.conv3(self.bn2(self.conv2(first * second))))
        return made + self.downsample(x)


def softball(x: torch.Tensor) -> torch.Tensor:
    # x / sqrt(1 + ‖x‖²/R²), R² the number of channels, hence the mean of squares.
    return x / torch.sqrt(1 + x.square().mean(dim=1, keepdim=True))


class Network(nn.Module):
    """The layout of ResNet-50, softball behind each block of stride 2 and at the end."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        width = 64
        for number, depth in enumerate((3, 4, 6, 3), 1):
            blocks = []
            for k in range(depth):
                out = 64 * 2 ** (number - 1)
                blocks.append(Block(width, out, 2 if number > 1 and k == 0 else 1))
                width = out
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.fc = nn.Linear(512, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = nn.functional.max_pool2d(x, 3, stride=2, padding=1)
        for number in range(1, 5):
            for block in self.get_submodule(f"layer{number}").children():
                x = block(x)
                if isinstance(block, Block) and not isinstance(block.downsample, nn.Identity):
                    x = softball(x)
        made: torch.Tensor = self.fc(softball(x).mean(dim=(2, 3)))
        return made


@pytest.fixture(scope="module")
def network() -> Network:
    """Random norms: at initialisation they would say nothing of their places."""
    torch.manual_seed(0)
    made = Network(10)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight.data, 0.2, 0.6),
                (module.bias.data, -0.3, 0.3),
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.8, 1.5),
            ):
                assert tensor is not None
                tensor.uniform_(low, high)
    return made.double().eval()


def assert_same(network: Network, state: Weights) -> None:
    model = convert_authors_checkpoint(state).double()
    x = torch.randn(2, 3, 40, 33, dtype=torch.float64)
    with torch.no_grad():
        expected, got = network(x), model(x)
    # The checkpoint is kept in float32, as files are; both compute in float64, some hundred sums.
    assert (got - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.fixture(scope="module")
def state(network: Network) -> Weights:
    """What a file holds, float32, and the network with just these numbers."""
    made = {name: tensor.clone() for name, tensor in network.float().state_dict().items()}
    network.double()
    return made


def test_the_literal_network_has_the_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in Network(100).parameters()) == 9_531_940


def test_a_converted_checkpoint_has_as_many_parameters_and_the_same_logits(
    network: Network, state: Weights
) -> None:
    model = convert_authors_checkpoint(state)
    literal, made = (sum(p.numel() for p in m.parameters()) for m in (network, model))
    assert made == literal
    assert not model.training
    assert_same(network, state)


def test_every_block_of_the_converted_network_does_something(state: Weights) -> None:
    model = convert_authors_checkpoint(state)
    blocks = [module for module in model.modules() if isinstance(module, PDEBlock)]
    assert len(blocks) == 16
    for block in blocks:
        u = torch.randn(1, block.in_channels, 6, 5)
        assert block.rate(u).abs().mean() > 1e-3


def renamed(state: Weights, pairs: list[tuple[str, str]]) -> Weights:
    made = {}
    for name, tensor in state.items():
        for old, new in pairs:
            name = name.replace(old, new)
        made[name] = tensor
    return made


def skip_first(state: Weights) -> Weights:
    """A file whose skip connections stand before the block's other modules."""
    blocks = sorted(state, key=lambda name: (name.split(".")[:2], "downsample" not in name))
    stem = [name for name in state if not name.startswith(("layer", "fc"))]
    inner = [name for name in blocks if name.startswith("layer")]
    order = [*stem, *inner, "fc.weight", "fc.bias"]
    return {name: state[name] for name in order}


NAMES: dict[str, Callable[[Weights], object]] = {
    "as expected": lambda s: s,
    "of a data-parallel module": lambda s: {f"module.{name}": v for name, v in s.items()},
    "inside a training state": lambda s: {"epoch": 3, "state_dict": s},
    "without counters": lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
    "in alphabetical order": lambda s: dict(sorted(s.items())),
    "other names": lambda s: renamed(
        s, [("layer", "stages."), ("conv2", "dw"), ("bn2", "norm_dw"), ("downsample", "shortcut")]
    ),
    "other names, skip first": lambda s: renamed(
        skip_first(s), [("layer", "stages."), ("downsample", "shortcut"), ("fc", "head")]
    ),
}


@pytest.mark.parametrize("change", NAMES.values(), ids=list(NAMES))
def test_modules_are_found_by_name_or_by_shape_and_order(
    network: Network, state: Weights, change: Callable[[Weights], Weights]
) -> None:
    assert_same(network, change(state))


def test_a_converted_model_is_made_again_from_its_config(state: Weights) -> None:
    model = convert_authors_checkpoint(state, activation="hardball")
    again = classifier_from_config(model.config)
    again.load_state_dict(model.state_dict())
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(again.eval()(x), model(x))


def without(name: str) -> Callable[[Weights], object]:
    return lambda s: {k: v for k, v in s.items() if not k.startswith(name)}


def with_shape(name: str, *shape: int) -> Callable[[Weights], object]:
    return lambda s: {**s, name: torch.zeros(shape)}


BAD: dict[str, tuple[Callable[[Weights], object], str]] = {
    "no mapping": (lambda s: list(s.values()), "mapping from names to tensors"),
    "numbers": (lambda s: {**s, "epoch": 3}, "'epoch': int"),
    "nothing": (lambda s: {}, "convolutions and a linear head"),
    "no head": (without("fc"), "linear head"),
    "a module missing": (
        without("layer3.2.conv2"),
        r"layer3\.2\.conv2 is missing, weight \(1024, 1, 3, 3\)",
    ),
    "a skip connection missing": (
        without("layer2.0.downsample"),
        r"layer2\.0\.downsample\.0 is missing",
    ),
    "a statistic missing": (without("layer1.0.bn1.running_var"), r"layer1\.0\.bn1"),
    "a module too many": (
        lambda s: {**s, "layer9.conv.weight": torch.zeros(5, 5, 3, 3)},
        r"layer9\.conv is unknown",
    ),
    "another hidden size": (
        with_shape("layer1.0.conv1.weight", 384, 64, 1, 1),
        r"layer1\.0\.conv1 has .*\(384, 64, 1, 1\) instead of .*\(512, 64, 1, 1\)",
    ),
    "another hidden size under other names": (
        lambda s: renamed(
            {**s, "layer1.0.conv1.weight": torch.zeros(384, 64, 1, 1)}, [("layer", "stage")]
        ),
        r"no further module of these shapes",
    ),
    "a module too many under other names": (
        lambda s: renamed({**s, "aux.weight": torch.zeros(5, 5, 3, 3)}, [("layer", "stage")]),
        "also aux",
    ),
    "NaN": (
        lambda s: {**s, "bn1.weight": torch.full((64,), float("nan"))},
        "bn1.weight holds NaN",
    ),
}


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=list(BAD))
def test_what_is_no_checkpoint_of_the_authors_is_refused(
    state: Weights, change: Callable[[Weights], Weights], words: str
) -> None:
    with pytest.raises(CheckpointError, match=words):
        convert_authors_checkpoint(change(state))


def test_another_number_of_classes_than_that_of_the_head_is_refused(state: Weights) -> None:
    with pytest.raises(CheckpointError, match=r"fc has .*\(10, 512\).* instead of .*\(7, 512\)"):
        convert_authors_checkpoint(state, num_classes=7)


def test_options_that_make_no_sense_are_refused(state: Weights) -> None:
    with pytest.raises(PdenetError, match="activation is one of"):
        convert_authors_checkpoint(state, activation="soft")
