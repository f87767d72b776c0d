"""The network of MetricX-24: mT5 that reads a text and writes one number.

The decoder takes one step, from the padding token. The logit of the token `<extra_id_10>` is the score.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoTokenizer
from transformers.models.mt5.modeling_mt5 import MT5PreTrainedModel, MT5Stack

from spillover.errors import SpilloverError
from spillover.models.load import one_sentence

OUTPUT = 250089
"""Number of the token `<extra_id_10>` in mT5's vocabulary."""

WORST = 25.0
"""The highest error score; the lowest is 0. The authors clip what lies outside."""


class Regression(MT5PreTrainedModel):  # type: ignore[misc]  # transformers is untyped
    """mT5 with an unembedding of its own, under the names of the published weights.

    `MT5ForConditionalGeneration` of transformers 5 ties the unembedding to the embedding, whatever the configuration
    says.
    """

    _tied_weights_keys = {  # noqa: RUF012 - as transformers declares it
        "encoder.embed_tokens.weight": "shared.weight",
        "decoder.embed_tokens.weight": "shared.weight",
    }

    def __init__(self, config: Any) -> None:  # noqa: ANN401 - transformers is untyped
        """Make the network of a configuration."""
        super().__init__(config)
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        encoder, decoder = copy.deepcopy(config), copy.deepcopy(config)
        encoder.is_decoder, encoder.use_cache = False, False
        decoder.is_decoder, decoder.use_cache, decoder.num_layers = True, False, config.num_decoder_layers
        self.encoder, self.decoder = MT5Stack(encoder), MT5Stack(decoder)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the error scores, (batch,)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        start = torch.full((len(input_ids), 1), self.config.pad_token_id, device=input_ids.device)
        step = self.decoder(input_ids=start, encoder_hidden_states=states, encoder_attention_mask=attention_mask)[0]
        logits: Tensor = step[:, 0] @ self.lm_head.weight[OUTPUT]
        return logits.clamp(0, WORST)


def load(folder: Path, name: str) -> Regression:
    """Return the network of a folder, on the GPU if there is one.

    Raises:
        SpilloverError: it is no mT5 model, or weights are missing.
    """
    where = f"translate.quality_model: cannot load {name!r}"
    with one_sentence(where):
        kind = AutoConfig.from_pretrained(folder, trust_remote_code=False).model_type
        if kind != "mt5":
            raise SpilloverError(f"translate.quality_model: {name!r} is a {kind} model, expected mt5, as MetricX-24 is")
        network, info = Regression.from_pretrained(folder, output_loading_info=True, dtype="auto")
    absent = sorted(info["missing_keys"])
    if absent:  # transformers would fill them with random numbers
        raise SpilloverError(f"translate.quality_model: {name!r} has no weights for {absent[0]!r}")
    loaded: Regression = network.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    return loaded


def open_tokenizer(folder: Path) -> Any:  # noqa: ANN401
    """Return the tokenizer of a folder.

    Raises:
        SpilloverError: it is a file of sentencepiece, and a package that reads it is missing; or it cannot be read.
    """
    if not (folder / "tokenizer.json").exists():
        try:
            import google.protobuf  # noqa: F401
            import sentencepiece  # noqa: F401 - transformers needs both, and its own error names another package
        except ModuleNotFoundError as error:
            raise SpilloverError(
                "translate.quality: needs the packages sentencepiece and protobuf; install them with: pip install "
                "'spillover[qe]'"
            ) from error
    with one_sentence("translate.quality_model: cannot load the tokenizer of mT5"):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


@torch.inference_mode()
def errors(network: Regression, rows: Sequence[Sequence[int]]) -> list[float]:
    """Return the error score of each row of tokens, padded to the longest."""
    width = max(map(len, rows))
    padding = network.config.pad_token_id
    tokens = torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows], device=network.device)
    attended = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=network.device)
    values: list[float] = network(tokens, attended).float().tolist()
    return values
