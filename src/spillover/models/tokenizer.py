"""A model's tokenizer by itself, for those who want to know how a text is cut before any weights are loaded."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from spillover.errors import SpilloverError
from spillover.models.locate import locate


def tokenizer(name: str) -> Callable[[list[str]], list[list[int]]]:
    """Return a function from texts to the ids of their tokens, without what begins and ends a sequence.

    Args:
        name: an alias, a hub id or a folder.

    Raises:
        SpilloverError: there is no such model, or no tokenizer in it.
    """
    folder = locate(name)
    saved = folder / "tokenizer.json"
    try:
        loaded = _loaded(folder) if not saved.is_file() else Tokenizer.from_file(str(saved))
    except Exception as error:  # the library raises nothing narrower for a file it cannot read
        reason = str(error).strip().partition("\n")[0]
        raise SpilloverError(f"model.name: cannot load the tokenizer of {name!r}: {reason}") from error
    loaded.no_padding()  # the file may keep both, and the counts of texts would be those of the longest or shorter ones
    loaded.no_truncation()
    loaded.encode_special_tokens = True  # a text that spells `</s>` is text
    return lambda texts: [encoding.ids for encoding in loaded.encode_batch(texts, add_special_tokens=False)]


def _loaded(folder: Path) -> Tokenizer:
    """Convert what is not saved as one file; this imports torch, which takes seconds."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False).backend_tokenizer  # type: ignore[no-any-return]


def token_counter(name: str) -> Callable[[Sequence[str]], list[int]]:
    """Return a function from texts to their numbers of tokens; arguments and errors are `tokenizer`'s."""
    tokenize = tokenizer(name)
    return lambda texts: [len(ids) for ids in tokenize(list(texts))]
