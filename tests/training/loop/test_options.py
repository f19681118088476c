"""Options: names, ranges, precedence, and what is written down."""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any  # every kind of wrong value

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdenet.cli import main
from pdenet.cli.train import add_arguments
from pdenet.errors import PdenetError, TrainingError
from pdenet.training.loop import optimisers
from pdenet.training.loop.kinds import pairs, to_toml
from pdenet.training.loop.options import OPTIMIZERS, OPTIONS, TrainOptions, settle
from pdenet.training.loop.recipes import RECIPES


def test_every_option_is_a_flag_with_its_own_name_and_a_help() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    flags = {flag for action in parser._actions for flag in action.option_strings}
    for name, option in OPTIONS.items():
        assert "--" + name.replace("_", "-") in flags
        assert option.metadata["help"]
    assert {"-b", "-j", "--config"} <= flags


def test_the_flags_that_users_of_timm_know_are_there() -> None:
    names = """model num-classes data-dir lr opt momentum weight-decay warmup-epochs warmup-lr
    min-lr sched epochs batch-size amp amp-dtype channels-last torchcompile mixup cutmix smoothing
    reprob aa hflip color-jitter scale ratio model-ema model-ema-decay clip-grad grad-accum-steps
    resume seed workers img-size in-chans drop drop-path layer-decay sync-bn output experiment
    log-interval device class-list model-kwargs recipe mean std crop-pct decay-epochs decay-rate
    cooldown-epochs"""
    assert {name.replace("-", "_") for name in names.split()} <= OPTIONS.keys()


def test_the_names_of_optimisers_are_those_there_are() -> None:
    assert OPTIMIZERS == optimisers.OPTIMIZERS


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("lr = 0.2\nmomentum = 0.8\nmodel_kwargs = { directions = 6 }\n")
    base = {"recipe": "liu2023", "data_dir": str(tmp_path)}
    made = settle({**base, "momentum": 0.7}, file)
    assert made.batch_size == 192  # the recipe's, not the default 128
    assert made.lr == 0.2  # the file's, not the recipe's 0.3
    assert made.momentum == 0.7  # given, not the file's
    assert made.decay_rate == TrainOptions().decay_rate
    assert made.model_kwargs == {"directions": 6}


def test_a_file_may_name_the_recipe_and_the_command_line_another(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('recipe = "cifar"\ndata_dir = "somewhere"\n')
    assert settle({}, file).img_size == 32
    assert settle({"recipe": "liu2023"}, file).img_size == 224


def test_without_data_or_recipe_it_is_the_digits() -> None:
    made = settle({"seed": 3})
    assert made.recipe == "digits"
    assert made.seed == 3
    assert made.data_options().name == "digits"
    assert settle({"data_dir": "pictures"}).recipe is None


def test_a_resumed_run_keeps_its_own_options(tmp_path: Path) -> None:
    run = tmp_path / "eq7_nows_x6_small-digits"
    run.mkdir()
    settled = settle({"epochs": 3, "lr": 0.25, "output": str(tmp_path)})
    (run / "args.toml").write_text(settled.to_toml())
    made = settle({"resume": "auto", "output": str(tmp_path), "lr": 0.125})
    assert (made.epochs, made.lr) == (3, 0.125)  # the run's own; what is said now
    assert settle({"resume": str(run)}).epochs == 3
    # A value is judged together with the run's own.
    assert settle({"resume": str(run), "epochs": 1}).epochs == 1
    # A run of before, which said whose augmentation it took.
    (run / "args.toml").write_text('transforms = "pillow"\n' + settled.to_toml())
    assert settle({"resume": str(run)}).epochs == settled.epochs


def in_order(value: object) -> str:
    """Return a value's repr, mappings in the order of their keys."""
    if isinstance(value, dict):
        return str([(key, in_order(one)) for key, one in sorted(value.items())])
    if isinstance(value, tuple | list):
        return str([type(value), *map(in_order, value)])
    return repr(value)


@given(
    st.floats(1e-9, 1e9),
    st.text(min_size=1),
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**63 - 1)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda inner: (
                st.lists(inner.filter(lambda v: v is not None)).map(tuple)
                | st.dictionaries(st.text(), inner)
            ),
            max_leaves=5,
        ),
    ),
)
def test_what_is_written_is_read_back_the_same(lr: float, name: str, more: dict[str, Any]) -> None:
    """None has no counterpart in TOML and is left out, at any depth of mappings."""

    def without_none(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: without_none(v) for k, v in value.items() if v is not None}
        return tuple(map(without_none, value)) if isinstance(value, tuple) else value

    options = TrainOptions(lr=lr, model=name, model_kwargs=without_none(more), scale=(0.5, 1))
    read = TrainOptions(**tomllib.loads(options.to_toml()))
    assert read == options
    # −0.0 and 0.0, 1 and 1.0, True and 1 too; TOML writes mappings behind all else.
    assert in_order(dataclasses.asdict(read)) == in_order(dataclasses.asdict(options))
    assert tomllib.loads(to_toml({"a": without_none(more)})).keys() == {"a"}


def test_key_value_pairs_are_literals_and_never_code() -> None:
    found = pairs(
        "a=1 b=0.5 c=true d=False e=none f=small g=(1, 2) h={'w': (8, 16)} i=__import__('os')"
    )
    assert found == {
        "a": 1, "b": 0.5, "c": True, "d": False, "e": None, "f": "small", "g": (1, 2),
        "h": {"w": (8, 16)}, "i": "__import__('os')",
    }  # fmt: skip


WRONG: Mapping[str, tuple[dict[str, Any], str]] = {
    "lr": ({"lr": 0}, "lr is a number above 0"),
    "negative lr": ({"lr": -0.1}, "lr is a number above 0"),
    "infinite lr": ({"lr": "inf"}, "lr is a number above 0"),
    "lr that is no number": ({"lr": "fast"}, "got 'fast'"),
    "opt": ({"opt": "sdg"}, "Did you mean 'sgd'"),
    "sched": ({"sched": "cos"}, "sched is one of"),
    "epochs": ({"epochs": 0}, "epochs is an integer >= 1"),
    "half an epoch": ({"epochs": "0.5"}, "epochs is an integer"),
    "batch": ({"batch_size": 0}, "batch_size is an integer >= 1"),
    "momentum": ({"momentum": 1.0}, "to below 1"),
    "weight decay": ({"weight_decay": -1e-4}, "weight_decay is a number from 0"),
    "warm-up": ({"epochs": 3, "warmup_epochs": 3}, "warm-up ends before"),
    "warm-up above the peak": ({"warmup_lr": 1.0, "lr": 0.1}, "at most the peak"),
    "end above the peak": ({"min_lr": 1.0, "lr": 0.1}, "at most the peak"),
    "smoothing": ({"smoothing": 1.0}, "smoothing is a number"),
    "erasing": ({"reprob": 1.5}, "reprob is a number from 0 to 1"),
    "mixup": ({"mixup": -1}, "mixup is a number from 0"),
    "aa": ({"aa": "random"}, "random"),
    "scale": ({"scale": (1.0, 0.5)}, "scale is a pair"),
    "one scale": ({"scale": (0.5,)}, "scale is a pair"),
    "channels": ({"in_chans": 4}, "in_channels is 1 or 3"),
    "classes": ({"num_classes": 1}, "num_classes is an integer >= 2"),
    "size": ({"img_size": -8}, "img_size is an integer >= 1"),
    "clip": ({"clip_grad": 0.0}, "clip_grad is a number above 0"),
    "accumulation": ({"grad_accum_steps": 0}, "grad_accum_steps"),
    "average": ({"model_ema_decay": 1.0}, "model_ema_decay"),
    "amp": ({"amp_dtype": "half"}, "bfloat16, float16"),
    "seed": ({"seed": -1}, "seed is an integer >= 0"),
    "guard": ({"guard_factor": 1.0}, "guard_factor"),
    "recipe": ({"recipe": "liu"}, "Did you mean 'liu2023'"),
    "experiment": ({"experiment": "a/b"}, "without a path"),
    "class list of digits": ({"class_list": "some.txt"}, "class_list"),
    "pairs": ({"model_kwargs": "directions"}, "key=value"),
}


@pytest.mark.parametrize("case", WRONG)
def test_options_without_sense_are_refused_by_python_and_by_the_command(
    case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    chosen, message = WRONG[case]
    with pytest.raises(PdenetError, match=message) as caught:
        TrainOptions(**chosen)
    assert isinstance(caught.value, ValueError)
    flags = ["--output", str(tmp_path)]
    for name, value in chosen.items():
        words = map(str, value if isinstance(value, tuple) else (value,))
        flag = "--" + name.replace("_", "-")
        # "=", since a value may begin with "-".
        flags += [flag, *words] if isinstance(value, tuple) else [f"{flag}={next(words)}"]
    assert main(["train", *flags]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


WRONG_FILES = {
    "unknown key": ("weight_decy = 1e-4", "Did you mean 'weight_decay'"),
    "no TOML": ("lr: 0.1", "is none"),
    "wrong type": ('epochs = "3"', "epochs is an integer"),
    "a table": ("[optimizer]\nlr = 0.1", "'optimizer'"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_files_without_sense_are_refused(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, message = WRONG_FILES[case]
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(TrainingError, match=message):
        settle({}, file)
    assert main(["train", "--config", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_other_bad_calls(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Did you mean 'lr'"):
        settle({"lrr": 1.0})
    with pytest.raises(TrainingError, match="check the path"):
        settle({}, tmp_path / "none.toml")
    with pytest.raises(TrainingError, match="check the path"):
        settle({"resume": str(tmp_path)})
    with pytest.raises(TrainingError, match="liu2023"):
        settle({"recipe": "liu"})
    assert set(RECIPES) == {"liu2023", "digits", "cifar"}
