"""Texts and chats of the user's that are learned beside the questions, so that the model does not forget them.

A folder has a file for each language, `en.jsonl`. A row is a text (column `text`), or a chat (column `messages`): what
the user says and what the assistant answers.
"""

from pathlib import Path

from spillover.errors import SpilloverError, did_you_mean
from spillover.languages import from_code, languages
from spillover.records import Example
from spillover.sources.files import ENDINGS, TableRow, read_rows

KIND = "folder:"
"""The beginning of a place of texts."""

ROLES = ["user", "assistant"]
"""The speakers of a chat, in their order."""


def read_replay(place: str, chat: bool, where: str) -> list[Example]:
    """Return the texts and chats of a folder as examples, file by file.

    A text is learned whole. Of a chat the answer is learned.

    Args:
        place: `folder:DIR`.
        chat: whether the model reads its chat template, which has no place for a text.
        where: the key that names the place, for errors.

    Raises:
        SpilloverError: there is no such folder, no file for a language, or a row is neither text nor chat.
    """
    directory = Path(place.removeprefix(KIND))
    if not place.startswith(KIND) or not directory.is_dir():
        raise SpilloverError(f"{where}: found {place!r}, expected folder:DIR with a file for each language, en.jsonl")
    files = sorted(path for path in directory.iterdir() if path.name.lower().endswith(tuple(ENDINGS)))
    known = {path: from_code(path.name.partition(".")[0]) for path in files}
    if unknown := [path.name for path, code in known.items() if code is None]:
        raise SpilloverError(
            f"{where}: {directory}: found {unknown[0]!r}, expected names that begin with a language's code; "
            f"{did_you_mean(unknown[0].partition('.')[0], languages())}"
        )
    examples = [
        _example(row, code, f"replay {path.name} {number}", chat)
        for path, code in known.items()
        if code
        for number, row in enumerate(read_rows(path, code))
    ]
    if not examples:
        raise SpilloverError(f"{where}: {directory}: found no file of texts, expected one for each language, en.jsonl")
    return examples


def _example(row: TableRow, language: str, id: str, chat: bool) -> Example:
    if "messages" not in row.cells:
        if chat:
            raise SpilloverError(
                f"{row.place}: found a text, expected a chat (column 'messages') with model.template = 'chat'"
            )
        return Example(id, language, "", row.text("text"))
    value = row.cells["messages"]
    messages = [message for message in value if isinstance(message, dict)] if isinstance(value, list) else []
    if value != messages or [message.get("role") for message in messages] != ROLES:
        raise SpilloverError(
            f"{row.place}: column 'messages': expected one message of the user, then one of the assistant, each with "
            "role and content"
        )
    said, answer = (TableRow(row.place, message).text("content") for message in messages)
    return Example(id, language, said if chat else f"{said}\n", answer)
