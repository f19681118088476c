"""A network stays one function when it is compiled, exported, saved, copied, cast or mapped."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch

import pdenet as pn
from pdenet.errors import NetworkError
from pdenet.network.network import Network
from tests.laws.drawing import ALLOWED, EPS
from tests.laws.test_network_gradients import CASES, START, as_function, states
from tests.tiers import mostly_deep

# torch's own, of parts that it still changes; nothing that pdenet could write differently.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(jit|pytree|guard|TF32|tracing).*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
TIME = torch.tensor(START, dtype=torch.float64)


def assert_same(found: torch.Tensor, expected: torch.Tensor, eps: float = EPS["float64"]) -> None:
    """To 32 eps of the largest value: S of these small steps is hardly more than that."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    apart = (found - expected).abs().max()
    assert apart <= ALLOWED * eps * expected.abs().max()


@pytest.fixture(params=mostly_deep(CASES, [*CASES][::3]))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def net(name: str) -> Network:
    return CASES[name].network()


@pytest.fixture
def short(name: str) -> Network:
    """For compilers, whose work grows with the right sides: four of them are one step of "rk4"."""
    return CASES[name].network(steps=1 if CASES[name].how.get("stepper") == "rk4" else 2)


# Compilers ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_graphs_of_other_tests() -> None:
    torch._dynamo.reset()


def compiled(net: Network, backend: str) -> Any:  # torch leaves what compile returns untyped
    return torch.compile(net, fullgraph=True, backend=backend)


def test_it_compiles_into_one_graph(short: Network) -> None:
    u = states(short, 2)
    assert_same(compiled(short, "eager")(u, START), short(u, START))


@pytest.mark.parametrize("name", mostly_deep(["heat, moving walls", "flux", "eq7"], {"flux"}))
def test_its_backward_pass_compiles_too(name: str) -> None:
    """With the time as a tensor, of one step: that steps follow one another is no other graph."""
    net = CASES[name].network(steps=1)
    u = states(net, 2)
    parameters = list(net.parameters())
    plain = torch.autograd.grad(net(u, START).square().sum(), parameters)
    made = torch.autograd.grad(compiled(net, "aot_eager")(u, TIME).square().sum(), parameters)
    for one, other in zip(made, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


# Its kernels are C++, 5 to 30 s on one core.
@pytest.mark.deep(law="test_it_compiles_into_one_graph")
def test_the_default_compiler_takes_it() -> None:
    net = CASES["flux"].network(steps=1)
    u = states(net, 2)
    assert_same(compiled(net, "inductor")(u, TIME), net(u, START))


def test_it_exports_for_any_batch_and_any_time(short: Network) -> None:
    """The time is an input of the program, not a constant in it."""
    net = short
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(net, (states(net, 3), TIME), dynamic_shapes=({0: batch}, None))
    exported = program.module()
    for size, time in ((3, START), (2, 0.0), (7, 1.5)):
        u = states(net, size, seed=size)
        assert_same(exported(u, torch.tensor(time, dtype=torch.float64)), net(u, time))


def test_an_exported_program_survives_its_file() -> None:
    net = CASES["wave, moving walls"].network(steps=1)
    u = states(net, 2)
    file = io.BytesIO()
    torch.export.save(torch.export.export(net, (u, TIME)), file)
    file.seek(0)
    assert_same(torch.export.load(file).module()(u, TIME), net(u, START))


# Files and copies --------------------------------------------------------------------------------


def test_a_state_dict_carries_the_weights_into_a_fresh_network(name: str, net: Network) -> None:
    """Bit for bit, through a file that holds tensors and nothing else."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.01)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in loaded.values())
    fresh = CASES[name].network()
    u = states(net, 2)
    assert not torch.equal(fresh(u, START), net(u, START))
    fresh.load_state_dict(loaded)
    assert torch.equal(fresh(u, START), net(u, START))


def test_a_state_dict_has_one_place_for_each_quantity(net: Network) -> None:
    keys = net.state_dict().keys()
    assert len(keys) == len(set(keys))
    parameters = dict(net.named_parameters())
    assert set(parameters) <= set(keys)
    assert {id(p) for p in net.quantities().values()} == {id(p) for p in parameters.values()}


@pytest.mark.parametrize(
    ("change", "others"),
    [
        ("dt", {"dt": 0.02}),
        ("the grid", {"x": (-1, 2, 5)}),
        ("which axis is the long one", {"x": (0, 3, 5), "y": (-1, 1, 6)}),
    ],
    ids=["dt", "length", "axes"],
)
def test_weights_of_another_time_step_or_grid_are_refused(
    change: str, others: dict[str, Any]
) -> None:
    pde, walls = pn.catalogue["heat"], pn.Boundary(x=pn.Neumann(0), y=pn.Periodic())
    given: dict[str, Any] = {"dt": 0.01, "x": (-1, 1, 5), "y": (0, 3, 6)}
    made = []
    for options in (given, {**given, **others}):
        grid = pn.Grid(x=options["x"], y=options["y"])
        made.append(pde.to_network(grid, walls, dt=options["dt"], stability="ignore"))
    with pytest.raises(NetworkError, match=r"weights of a network .* were expected; got .*; build"):
        made[0].load_state_dict(made[1].state_dict())
    made[0].load_state_dict(made[0].state_dict())


def test_copies_are_the_same_function_and_share_nothing(net: Network) -> None:
    u = states(net, 2)
    expected = net(u, START)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):  # noqa: S301 (our own)
        assert torch.equal(other(u, START), expected)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        assert not torch.equal(other(u, START), expected)
        assert torch.equal(net(u, START), expected)


def test_it_pickles_into_a_file_of_the_whole_module() -> None:
    net = CASES["eq7"].network()
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert torch.equal(again(states(net), START), net(states(net), START))


# Dtypes and devices ------------------------------------------------------------------------------


def test_casting_is_building_in_that_dtype(net: Network) -> None:
    """`.float()` rounds what a float32 network rounds when it is built; `.double()` goes back."""
    u = states(net, 2)
    single = copy.deepcopy(net).float()
    assert single.dtype == torch.float32
    assert_same(single(u.float(), START).double(), net(u, START), EPS["float32"])
    again = copy.deepcopy(single).double()
    assert_same(again(u, START), net(u, START), EPS["float32"])
    assert {b.dtype for b in again.buffers()} == {torch.float64}


def test_a_cast_network_is_bit_for_bit_one_that_was_built_so(name: str) -> None:
    built = CASES[name].network(dtype=torch.float32)
    cast = CASES[name].network().float()
    u = states(built, 2)
    assert torch.equal(built(u, START), cast(u, START))


def test_it_moves_with_all_its_tensors(net: Network) -> None:
    """The device "meta" has shapes and no numbers: a tensor left behind is an error there."""
    u = states(net, 2)
    moved = copy.deepcopy(net).to("meta")
    made = moved(u.to("meta"), START)
    assert moved.device == made.device == torch.device("meta")
    assert made.shape == u.shape
    assert torch.equal(net.to("cpu")(u, START), net(u, START))


@pytest.mark.gpu
def test_a_gpu_computes_the_same(net: Network) -> None:
    """32 eps of the largest value, as on any machine that adds up in another order."""
    u = states(net, 2)
    expected = net(u, START)
    moved = copy.deepcopy(net).to("cuda")
    assert_same(moved(u.to("cuda"), START).cpu(), expected)
    assert_same(moved(u.to("cuda"), TIME.to("cuda")).cpu(), expected)
    with pytest.raises(NetworkError, match=r"on cuda:0 was expected; got one on cpu"):
        moved(u, START)


def test_training_and_evaluation_are_the_same(net: Network) -> None:
    u = states(net, 2)
    expected = net.train()(u, START)
    assert torch.equal(net.eval()(u, START), expected)
    with torch.no_grad():
        assert torch.equal(net(u, START), expected)
    with torch.inference_mode():
        assert torch.equal(net(u, START), expected)


# Functions of parameters -------------------------------------------------------------------------


def test_it_maps_over_parameters(net: Network) -> None:
    """vmap over stacked parameters is a loop over them; over one of them alone, too."""
    _, values, function = as_function(net)
    u = states(net, 2)
    stacked = [torch.stack([p, 1.01 * p]) for p in values]
    together = torch.func.vmap(function, in_dims=(None, *[0] * len(values)))(u, *stacked)
    assert_same(together[0], function(u, *values))
    assert_same(together[1], function(u, *(1.01 * p for p in values)))
    for place, one in enumerate(stacked):
        axes: list[int | None] = [None] * len(values)
        axes[place] = 0
        given = [*values[:place], one, *values[place + 1 :]]
        mapped = torch.func.vmap(function, in_dims=(None, *axes))(u, *given)
        given[place] = one[1]
        assert_same(mapped[1], function(u, *given))


def test_it_maps_over_states(net: Network) -> None:
    u = states(net, 3)
    assert_same(torch.func.vmap(lambda one: net(one[None], START)[0])(u), net(u, START))


def test_parameters_that_are_replaced_are_the_ones_that_count(net: Network) -> None:
    _, values, function = as_function(net)
    u = states(net, 2)
    assert torch.equal(function(u, *values), net(u, START))
    assert not torch.equal(function(u, *(1.01 * p for p in values)), net(u, START))


def test_jacobians_of_both_modes_agree() -> None:
    net = CASES["heat, moving walls"].network()
    _, values, function = as_function(net)
    u = states(net)
    places = tuple(range(1, 1 + len(values)))
    forward = torch.func.jacfwd(function, argnums=places)(u, *values)
    reverse = torch.func.jacrev(function, argnums=places)(u, *values)
    for one, other in zip(forward, reverse, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


def test_an_optimiser_fits_it_to_another_network() -> None:
    net = CASES["Burgers"].network()
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    u = states(net, 2)
    target = CASES["Burgers"].network(trainable=False)(u, START) * 0.99
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = (net(u, START) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
