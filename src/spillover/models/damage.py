"""Checks of a model's files. Their errors name the file and the remedy, which the libraries' errors do not."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from spillover.errors import SpilloverError
from spillover.utils.progress import notify

LFS_POINTER = b"version https://git-lfs"
"""First bytes of the file that Git writes in place of a large one if Git LFS is not installed."""

WEIGHTS = "*.safetensors"
INDEX = "*.safetensors.index.json"
"""Names the shard of each weight, if weights are in several files."""
JSON_OBJECTS = ("config.json", "tokenizer_config.json", INDEX)
"""Small JSON files, each with one object."""

PLAIN_TEXT = "One plain sentence."
"""A text that has tokens with every tokenizer."""


def require_whole(folder: Path, name: str) -> None:
    """Refuse a folder with a damaged file. Of weight files only the header is read.

    Raises:
        SpilloverError: a file is a pointer of Git LFS, a JSON file has no object, a weight file has no whole header, or
            a shard is missing.
    """
    for path in sorted(path for pattern in (*JSON_OBJECTS, "tokenizer.json", WEIGHTS) for path in folder.glob(pattern)):
        with path.open("rb") as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                raise SpilloverError(
                    f"model.name: {path.name} of {name!r} is a pointer of Git LFS, expected the file itself; fetch it "
                    "with `git lfs pull` in its repository"
                )
    for path in sorted(path for pattern in JSON_OBJECTS for path in folder.glob(pattern)):
        _require_object(path, name)
    for path in sorted(folder.glob(INDEX)):
        _require_shards(path, name)
    for path in sorted(folder.glob(WEIGHTS)):
        try:
            with safe_open(path, "np"):
                pass
        except SafetensorError as error:
            raise SpilloverError(
                f"model.name: {path.name} of {name!r} is cut off or not safetensors: {error}; copy the file again"
            ) from error


def _require_object(path: Path, name: str) -> None:
    try:
        table = json.loads(path.read_bytes())  # json also reads UTF-16, which transformers does not
        path.read_text(encoding="utf-8")
    except (ValueError, RecursionError) as error:
        raise SpilloverError(f"model.name: {path.name} of {name!r} is empty, cut off or not JSON: {error}") from error
    if not isinstance(table, dict):
        raise SpilloverError(
            f"model.name: {path.name} of {name!r} holds a {type(table).__name__}, expected an object with named fields"
        )


def _require_shards(index: Path, name: str) -> None:
    """Refuse an index that names shards which are not there."""
    shards = json.loads(index.read_text(encoding="utf-8")).get("weight_map")
    if not isinstance(shards, dict):
        raise SpilloverError(f"model.name: {index.name} of {name!r} has no 'weight_map', expected weight → shard")
    files = sorted({str(shard) for shard in shards.values()})
    missing = [file for file in files if not (index.parent / file).is_file()]
    if missing:
        raise SpilloverError(
            f"model.name: {name!r} lacks {missing[0]} ({len(missing)} of its {len(files)} shards are missing); copy it "
            "into the folder"
        )


def require_fitting(mismatched: Iterable[tuple[str, Any, Any]], name: str) -> None:
    """Refuse weights whose shapes are not those of the configuration.

    Args:
        mismatched: a weight's name, its shape in the file, and its shape by the configuration.
        name: the model's name, for errors.

    Raises:
        SpilloverError: there is such a weight.
    """
    rows = sorted(mismatched, key=lambda row: row[0])
    if rows:
        weight, shape, expected = rows[0]
        raise SpilloverError(
            f"model.name: the weights of {name!r} do not fit its config.json: {weight!r} has the shape {tuple(shape)}, "
            f"expected {tuple(expected)} ({len(rows)} do not fit)"
        )


def mention_unused(weights: Collection[str], architecture: str, name: str) -> None:
    """Tell the user about weights of a model's files that its network has no place for, if there are any.

    transformers leaves them out with a warning in its log. Some are meant so, such as the value head of a reward model.
    Others show that config.json is of another model: biases, norms or blocks are then missing.
    """
    if weights:
        notify(
            f"model.name: {name!r} has {len(weights)} weights that {architecture} does not use, such as "
            f"{min(weights)!r}; scores are without them, so check that its config.json belongs to them"
        )


def require_vocabulary(tokenizer: Any, name: str) -> None:  # noqa: ANN401
    """Refuse a tokenizer that makes no tokens of a plain text."""
    if not tokenizer(PLAIN_TEXT, add_special_tokens=False)["input_ids"]:
        raise SpilloverError(
            f"model.name: the tokenizer of {name!r} makes no tokens of {PLAIN_TEXT!r}; its tokenizer.json holds "
            f"{len(tokenizer.get_vocab())} tokens, expected the vocabulary that the model was trained with"
        )


def require_embedded(network: Any, tokenizer: Any, name: str) -> None:  # noqa: ANN401
    """Refuse a tokenizer with tokens that the network has no row for.

    Special tokens without a row are allowed if no text contains them: some models have such tokens for images.
    """
    require_vocabulary(tokenizer, name)
    matrices = (network.get_input_embeddings(), network.get_output_embeddings())
    rows = min(len(matrix.weight) for matrix in matrices if matrix is not None)
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    around = {*tokenizer.convert_ids_to_tokens(tokenizer("x")["input_ids"]), tokenizer.eos_token}
    core = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    unknown = getattr(core, "unk_token", None)
    lacking = sorted(
        (id, token)
        for token, id in tokenizer.get_vocab().items()
        if id >= rows and (token not in special or token in around or token == unknown)
    )
    if lacking:
        id, token = lacking[0]
        raise SpilloverError(
            f"model.name: the tokenizer of {name!r} knows {len(lacking)} tokens that the model has no row for, the "
            f"first {token!r} with id {id}, expected ids below {rows}: the tokenizer that the model was trained with, "
            "or a model resized to it"
        )
