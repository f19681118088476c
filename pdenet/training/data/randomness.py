"""Randomness of the data: every draw comes from a generator that a few integers name.

Nothing here reads or changes a global random state. A sample is therefore augmented alike in
whichever process it is read, and a run that resumes sees the batches that it would have seen.
"""

from __future__ import annotations

import numpy as np
import torch

# What a generator is for: two uses of one sample must not see the same draws.
ORDER, PLACES, AUGMENT, ERASE, MIX = range(5)


def hash_key(seed: int, *key: int) -> int:
    """Mix integers ≥ 0 into one of 32 bits.

    Torch's generator on CPUs is a Mersenne twister seeded by 32 bits; NumPy's SeedSequence makes
    neighbouring keys give unrelated seeds.
    """
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0])


def generator(seed: int, *key: int) -> torch.Generator:
    """Return the generator of a key, such as (seed, AUGMENT, epoch, index of the sample)."""
    return torch.Generator().manual_seed(hash_key(seed, *key))


def uniform(low: float, high: float, source: torch.Generator) -> float:
    """Draw one number from [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=source, dtype=torch.float64))


def integer(low: int, high: int, source: torch.Generator) -> int:
    """Draw one integer from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=source))
