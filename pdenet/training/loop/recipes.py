"""Recipes: options of whole training runs by name. They are data, and each value says its source.

"liu2023" is the run of Liu, Shao & Bai (2023), arXiv 2308.01621. The paper says: timm's script for
ResNeXt-50, SGD with momentum, a cosine schedule with 5 warm-up epochs, batch 192, peak learning
rate 0.3, 50 epochs, 224×224 pixels, one GPU. It does not say, and so remains **unconfirmed**:

- weight decay, random erasing, RandAugment and mixed precision. They are taken from the command
  that timm's documentation ("Training Examples", ResNeXt-50 32x4d with RandAugment) gives:
  `--lr 0.6 --warmup-epochs 5 --epochs 240 --weight-decay 1e-4 --sched cosine --reprob 0.4 --remode
  pixel --aa rand-m7-mstd0.5-inc1 -b 192 --amp`, with erased pixels drawn one by one. (There each
  erasure may consist of up to three rectangles, `--recount 3`; here it is one.)
- the momentum, and that it is Nesterov's: timm's defaults, `--momentum 0.9 --opt sgd`;
- where warm-up begins and the cosine ends: 1e-5 and 0, timm's defaults;
- label smoothing: 0.1, timm's default.

In timm the cosine begins at the first epoch and warm-up covers its top, so that a run there never
quite has its peak rate. Here the rate is 0.3 at the end of warm-up.

"digits" and "cifar" are ours: chosen on the training part of the digits, and for folders of 32×32
pixels by custom (random shifts of a padded image are random crops).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

RECIPES: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "liu2023": {
            "opt": "sgd",
            "momentum": 0.9,  # unconfirmed
            "weight_decay": 1e-4,  # unconfirmed
            "sched": "cosine",
            "lr": 0.3,
            "warmup_epochs": 5.0,
            "warmup_lr": 1e-5,  # unconfirmed
            "min_lr": 0.0,  # unconfirmed
            "epochs": 50,
            "batch_size": 192,
            "img_size": 224,
            "aa": "rand-m7-mstd0.5-inc1",  # unconfirmed
            "reprob": 0.4,  # unconfirmed
            "smoothing": 0.1,  # unconfirmed
            "amp": True,  # unconfirmed
        },
        "digits": {
            "model": "eq7_nows_x6_small",
            "data_dir": "digits",
            "opt": "sgd",
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "sched": "cosine",
            "lr": 0.2,
            # Part of an epoch, so that `--epochs 1` is still a run.
            "warmup_epochs": 0.5,
            "epochs": 30,
            "batch_size": 64,
            "shift": 1,
            "channels_last": True,  # faster on CPUs
        },
        "cifar": {
            "model": "eq7_nows_x6_small",
            "opt": "sgd",
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "sched": "cosine",
            "lr": 0.1,
            "warmup_epochs": 5.0,
            "epochs": 100,
            "batch_size": 128,
            "img_size": 32,
            # The whole image: its objects fill it already.
            "scale": (1.0, 1.0),
            "ratio": (1.0, 1.0),
            "crop_pct": 1.0,
            "shift": 4,
            "color_jitter": 0.0,
            "smoothing": 0.1,
        },
    }
)
"""Options by the name of the recipe; the rest are the defaults of `TrainOptions`."""
