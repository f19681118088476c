"""Back ends by name. PyTorch is imported when it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from pdenet.backends.numpy_arrays import NumpyArrays
from pdenet.checks import check_choice, check_dtype
from pdenet.discrete.arrays import Arrays
from pdenet.errors import BackendError

BACKENDS = ("numpy", "torch")


def arrays_named(backend: str, dtype: str, device: str) -> Arrays:
    """Return a back end.

    Args:
        backend: "numpy" or "torch".
        dtype: "float64" or "float32".
        device: where torch computes.

    Raises:
        BackendError: one of the names does not exist, or the device is not there.
    """
    name = check_dtype(dtype, BackendError)
    check_choice("backend", backend, BACKENDS, BackendError)
    if backend == "numpy":
        if str(device) != "cpu":
            raise BackendError(
                f"the NumPy back end computes on the CPU; got device {device!r}; "
                'use backend="torch"'
            )
        return NumpyArrays(np.dtype(name))
    import torch

    from pdenet.backends.devices import torch_device
    from pdenet.backends.torch_arrays import TorchArrays

    place = torch_device(device, BackendError)
    return TorchArrays(getattr(torch, name), place)


def dtype_of(arrays: Arrays) -> np.dtype[Any]:
    """Return the dtype of a back end as NumPy names it."""
    return np.dtype(str(arrays.dtype).removeprefix("torch."))
