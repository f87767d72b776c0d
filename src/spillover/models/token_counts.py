"""How many tokens a model's tokenizer makes of texts; no weights are loaded."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from spillover.errors import SpilloverError, first_line
from spillover.models.locate import locate


def tokenizer(name: str) -> Callable[[list[str]], list[list[int]]]:
    """Return a function from texts to token ids, without the tokens that begin and end a sequence.

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
        raise SpilloverError(f"model.name: cannot load the tokenizer of {name!r}: {first_line(error)}") from error
    loaded.no_padding()  # the file may switch on padding and truncation, which would change the counts
    loaded.no_truncation()
    loaded.encode_special_tokens = True  # a text that spells `</s>` is text
    return lambda texts: [encoding.ids for encoding in loaded.encode_batch(texts, add_special_tokens=False)]


def _loaded(folder: Path) -> Tokenizer:
    """Convert a tokenizer that is not saved as one file; this imports torch, which takes seconds."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False).backend_tokenizer  # type: ignore[no-any-return]


def token_counter(name: str) -> Callable[[Sequence[str]], list[int]]:
    """Return a function from texts to their numbers of tokens; arguments and errors are those of `tokenizer`."""
    tokenize = tokenizer(name)
    return lambda texts: [len(ids) for ids in tokenize(list(texts))]
