"""Pictures: Eqs. (3) and (7) on faces and on textures, against chance.

    OMP_NUM_THREADS=1 python -m benchmarks.pictures --data faces --seeds 3
    OMP_NUM_THREADS=1 python -m benchmarks.pictures --data textures --seeds 3

Faces: scikit-image's 100 crops with a face and 100 without, 25×25 pixels, grey; a stratified fifth
is set aside. Textures: 32×32 crops of eight of its photographs, grey, 100 of the left part of each
for training and 30 of the right part for validation; they are read from a folder as any pictures
are. The digits' recipe, with mirror images; nothing was tuned. The accuracy is that of the last
epoch.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import io
import tempfile
from pathlib import Path

import torch

import pdenet as pn
from benchmarks.results import Row, replace_section, table
from benchmarks.textures import write_textures
from pdenet.training.loop.options import settle
from pdenet.training.loop.train import train

MODELS = ("eq3_small", "eq7_nows_x6_small")
RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results.md"


def run(model: str, data: str, seed: int, epochs: int) -> tuple[float, float, int]:
    """Train once, quietly; return accuracy in per cent, seconds and the number of parameters."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        given = {
            "recipe": "digits",
            "data_dir": data,
            "model": model,
            "seed": seed,
            "epochs": epochs,
            "hflip": 0.5,
            "output": folder,
            "monitor_every": 0,
            "workers": 0,
            "scale": (0.5, 1.0),
            "batch_size": 32,
        }
        if data != "faces":
            given["img_size"] = 32
        outcome = train(settle(given))
        last = outcome.history[-1]
        classes = 2 if data == "faces" else 8
        channels = 1 if data == "faces" else 3
        built = pn.create_model(model, classes, in_channels=channels)
    return last["val_top1"], last["seconds"], sum(p.numel() for p in built.parameters())


NOTES = {
    "faces": "40 of 200 crops, chance 50 %",
    "textures": "240 crops of eight photographs, chance 12.5 %",
}


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=tuple(NOTES), default="faces")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = given.data
        if data == "textures":
            data = str(write_textures(Path(folder) / data))
        for model in MODELS:
            runs = []
            for seed in range(given.seeds):
                runs.append(run(model, data, seed, given.epochs))
                print(f"{given.data}, {model}, seed {seed}: {runs[-1][0]:.2f} %", flush=True)
            accuracies, seconds = (tuple(r[k] for r in runs) for k in (0, 1))
            rows.append(Row(model, runs[0][2], accuracies, seconds))
    content = (
        f"{table(rows)}\n\n{NOTES[given.data]}; seeds: {given.seeds}, epochs: {given.epochs}, "
        f"PyTorch {torch.__version__}, {dt.date.today().isoformat()}."
    )
    replace_section(given.output, given.data, content)
    print(content)


if __name__ == "__main__":
    main()
