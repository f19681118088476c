"""What holds for every test: one thread a worker, no screen, a named hypothesis profile."""

from __future__ import annotations

import os

# Before anything loads NumPy, torch or Matplotlib, and by the environment, so that programs started
# by tests inherit it. One thread: workers share the cores, and sums do not depend on how many there
# are. Agg: no screen is needed.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"
os.environ["MPLBACKEND"] = "Agg"

from importlib.util import find_spec  # noqa: E402 (the environment comes first)
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from tests.tiers import (  # noqa: E402, F401 (pytest finds its hooks and fixtures here)
    each,
    note_laws,
    pytest_addoption,
    pytest_runtest_makereport,
)

# No deadline: the first example of a test may compile or import something large.
# fast: the quick tier, `make test`; ci: the deep one, `make test-all`; deep: overnight, or after a
# change of numerics.
for _name, _examples in (("fast", 10), ("ci", 50), ("deep", 500)):
    settings.register_profile(
        _name,
        max_examples=_examples,
        deadline=None,
        # A red test must be red again on the next machine.
        derandomize=_name != "deep",
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.hookimpl(tryfirst=True)  # before `-m` takes members away
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note the laws; skip `gpu` where there is no CUDA device, and ask torch only if it matters."""
    note_laws(config, items)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _declare_torchvision() -> torch.library.Library | None:
    """Declare two operators of torchvision, which timm imports, where its own library cannot load.

    That of the wheel on PyPI is made for a CUDA build of torch. With a CPU build it is passed over
    in silence, and torchvision then stops at the operators whose shapes it describes in Python.
    """
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    for path in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(path)
        except OSError:
            continue
        return None
    made = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        made.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return made


# Kept: the declarations go with the object.
TORCHVISION = _declare_torchvision()
