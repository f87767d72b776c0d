"""Models that translate after a plain prompt, as rows: the prompt of each model card, names of languages, how it ends.

Sources, read in November 2026: the README of Tencent-Hunyuan/Hy-MT2; copies of the model card of
google/translategemma-4b-it, whose 55 languages are those of WMT24++, and of the codes in its chat template; the README
of ByteDance-Seed/Seed-X-7B and the model card of Seed-X-PPO-7B; the model card of Unbabel/Tower-Plus-2B, whose prompt
is also that of 9B; the README of xiaomi-research/gemmax. The licenses are in `data/licenses.toml`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from spillover.errors import SpilloverError
from spillover.languages import get_language, in_paper_order, lookup

MAX_TOKENS = 1024
"""The most tokens of one answer. A translation that needs more is cut."""


@dataclass(frozen=True, slots=True)
class PromptForm:
    """How a text is put to a model in one direction."""

    prompt: str
    """The prompt; `{text}` stands for the text."""
    part: Mapping[str, str] = field(default_factory=dict)
    """Further keys of the one part of the user's message; empty: the message is plain text."""
    completion: bool = False
    """Whether the model continues the prompt itself, without a chat template."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer, beside the end of the turn or sequence."""

    def fill(self, text: str) -> str:
        """Return the prompt of a text."""
        return self.prompt.replace("{text}", text)


@dataclass(frozen=True, slots=True)
class PromptedModel:
    """A family of models that translate after a plain prompt.

    In `prompt` and in the values of `part`, `{source}` and `{target}` stand for the names of the languages, and
    `{source_code}` and `{target_code}` for their codes, as the model knows them.
    """

    model: str
    """Hub id of the model that is used if the experiment names none."""
    prompt: str
    """The prompt; `{text}` stands for the text."""
    codes: str
    """The languages of the model card, by its codes, with blanks between them."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Code of the card → name of the language in prompts, where it is not the English name."""
    part: Mapping[str, str] = field(default_factory=dict)
    """Further keys of the one part of the user's message; empty: the message is plain text."""
    completion: bool = False
    """Whether the model continues the prompt itself, without a chat template."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer. A model that stops at a line break translates line by line."""

    def form(self, source: str, target: str) -> PromptForm:
        """Return how texts of one direction are asked.

        Raises:
            SpilloverError: the model card does not name a language.
        """
        spelled = self._spelled
        for code in (source, target):
            if code not in spelled:
                known = ", ".join(in_paper_order(spelled))
                raise SpilloverError(f"translate.model: {self.model!r} lacks language {code!r}; choose from {known}")
        values = {"source_code": spelled[source], "target_code": spelled[target]}
        for key, code in (("source", source), ("target", target)):
            values[key] = self.names.get(spelled[code], get_language(code).name)
        part = {key: value.format(**values) for key, value in self.part.items()}
        return PromptForm(self.prompt.format(**values, text="{text}"), part, self.completion, self.stop)

    @property
    def _spelled(self) -> dict[str, str]:
        """This project's code → the model's, for the languages that both know."""
        pairs = ((lookup(code), code) for code in reversed(self.codes.split()))
        return {known: code for known, code in pairs if known}


PROMPTED_MODELS = {
    "hy-mt2": PromptedModel(
        model="tencent/Hy-MT2-7B",
        prompt="Translate the following text into {target}. Note that you should only output the translated result "
        "without any additional explanation:\n\n{text}",
        codes="zh en fr pt es ja tr ru ar ko th it de vi ms id tl hi zh-Hant pl cs nl km my fa gu ur te mr he bn ta "
        "uk bo kk mn ug yue",
        names={"tl": "Filipino", "yue": "Cantonese"},
    ),
    "translategemma": PromptedModel(
        model="google/translategemma-4b-it",
        prompt="{text}",
        part={"source_lang_code": "{source_code}", "target_lang_code": "{target_code}"},
        codes="en ar bg bn ca cs da de el es et fa fi fil-PH fr gu he hi hr hu id is it ja kn ko lt lv ml mr nl no "
        "pa pl pt ro ru sk sl sr sv sw ta te th tr uk ur vi zh zh-TW zu",
    ),
    "seed-x": PromptedModel(
        model="ByteDance-Seed/Seed-X-PPO-7B",
        prompt="Translate the following {source} sentence into {target}:\n{text} <{target_code}>",
        completion=True,
        stop=("\n",),
        codes="ar cs da de en es fi fr hr hu id it ja ko ms nb nl no pl pt ro ru sv th tr uk vi zh",
        names={"nb": "Norwegian Bokmal"},
    ),
    "tower+": PromptedModel(
        model="Unbabel/Tower-Plus-9B",
        prompt="Translate the following {source} source text to {target}:\n{source}: {text}\n{target}: ",
        codes="de es fr it ko nl ru en pt zh zh-Hant cs uk hi is ja pl sv hu ro da nb nn fi",
        names={
            "pt": "Portuguese (Portugal)",
            "zh": "Chinese (Simplified)",
            "zh-Hant": "Chinese (Traditional)",
            "nb": "Norwegian (Bokmål)",
            "nn": "Norwegian (Nynorsk)",
        },
    ),
    "gemmax2": PromptedModel(
        model="xiaomi-research/GemmaX2-28-2B-v0.2",
        prompt="Translate this from {source} to {target}:\n{source}: {text}\n{target}:",
        completion=True,
        stop=("\n",),
        codes="ar bn cs de en es fa fr he hi id it ja km ko lo ms my nl pl pt ru th tl tr ur vi zh",
    ),
}
"""Name of the engine → its row."""
