"""Hub: a classifier as a folder with config.json and model.safetensors, as Hugging Face's hub has.

`model.save_pretrained(folder)`, `Classifier.from_pretrained(folder)` and `model.push_to_hub(name)`
are those of huggingface_hub's `PyTorchModelHubMixin`; reading and writing are `weights`', so that
files are written whole and a damaged one is an error.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self  # JSON

from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from torch import nn

from pdenet.equation.pde import PDE
from pdenet.errors import CheckpointError, NetworkError, suggest
from pdenet.files import write_whole
from pdenet.network.convnet.config import recipe
from pdenet.network.convnet.weights import load_weights, save_weights

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""The files of a folder, by the names that the hub expects."""


class HubModel(
    PyTorchModelHubMixin,
    library_name="pdenet",
    tags=["pdenet", "partial-differential-equations"],
    pipeline_tag="image-classification",
    license="mit",
):
    """What makes a classifier of its config, and a folder of it.

    The class that inherits has the attributes `name` and `config`, a method `rebuilt`,
    and takes an equation and options.
    """

    name: str | None

    @classmethod
    def from_config(cls, config: Mapping[str, Any], pde: PDE | None = None) -> Self:
        """Return the classifier that a config describes, with newly drawn weights.

        Args:
            config: what `config` of another one gave.
            pde: the equation, where it is not in the catalogue.

        Raises:
            NetworkError: the config is none, or needs an equation.
        """
        found = recipe(config, pde)
        known = set(inspect.signature(cls.__init__).parameters) - {"self", "pde"}
        unknown = sorted(set(found.options) - known)
        if unknown:
            raise NetworkError(
                f"a config holds options of {cls.__name__}; got {unknown[0]!r}."
                f"{suggest(unknown[0], known)}"
            )
        model = cls(found.pde, **found.options)
        model.name = found.name
        return model.rebuilt(found.folded_stages, found.fused, found.unit_rows)  # type: ignore[attr-defined]

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any
    ) -> Self:
        """Return the classifier of a folder or of a repository of the hub, in evaluation mode.

        Args:
            pretrained_model_name_or_path: a folder that `save_pretrained` made, or a name such as
                "someone/model", which is downloaded.
            options: `pde=` for an equation outside the catalogue; options of the class, which
                replace those of the config; `revision`, `cache_dir`, `token`, `force_download`,
                `local_files_only` for a download.

        Raises:
            CheckpointError: a file is missing or damaged.
            NetworkError: the equation is missing, or the weights do not fit.
        """
        folder = Path(pretrained_model_name_or_path)
        if folder.is_dir() and not (folder / CONFIG).is_file():
            raise CheckpointError(
                f"a folder with {CONFIG} and {WEIGHTS} was expected; {str(folder)!r} has no "
                f"{CONFIG}; make the model yourself and call load_weights(model, path)"
            )
        name = os.fspath(pretrained_model_name_or_path)
        if not folder.is_dir() and (
            folder.is_absolute() or name.startswith(".") or len(folder.parts) > 2
        ):
            raise CheckpointError(
                f"a folder that save_pretrained made was expected; there is no {name!r}; check the "
                'path, or name a repository of the hub as "someone/model"'
            )
        try:
            return super().from_pretrained(name, **options)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise CheckpointError(
                f"{CONFIG} of {str(folder)!r} is no JSON: {error}; save the model once more"
            ) from error

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        config: Mapping[str, Any] | None = None,
        pde: PDE | None = None,
        **options: Any,
    ) -> Self:
        if config is None:
            raise CheckpointError(
                f"a repository with {CONFIG} was expected; {model_id!r} has none; check its name"
            )
        model = cls.from_config({**config, **options}, pde)
        path = Path(model_id) / WEIGHTS
        if not Path(model_id).is_dir():
            path = Path(
                hf_hub_download(
                    repo_id=model_id,
                    filename=WEIGHTS,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    token=token,
                    local_files_only=local_files_only,
                )
            )
        assert isinstance(model, nn.Module)
        model.eval()
        load_weights(model, path)
        return model

    def _save_pretrained(self, save_directory: Path) -> None:
        assert isinstance(self, nn.Module)
        save_weights(self, save_directory / WEIGHTS)
        text = json.dumps(self.config, indent=2, sort_keys=True)
        write_whole(save_directory / CONFIG, text + "\n", CheckpointError)
