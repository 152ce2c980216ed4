"""Tokenizers for random models, built quickly from `corpus`, of the architecture's kind.

Byte pairs are trained. The vocabulary of WordPiece is built here, because its trainer numbers the tokens differently
each time, and equal seeds must give equal answers.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import Any

from model_server.engines.corpus import lines

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(family: str, size: int, tokens_max: int) -> Any:
    """A fast tokenizer of at most `size` tokens for this family of models."""
    from transformers import PreTrainedTokenizerFast

    if family == "bert":
        raw, names = _wordpiece(size), ["input_ids", "token_type_ids", "attention_mask"]
        special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        special["mask_token"] = "[MASK]"  # noqa: S105 - a token of text
    elif family == "roberta":
        raw, names = _byte_pairs(size, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]), ["input_ids", "attention_mask"]
        _between(raw, "<s>", "</s>", "<s> $A </s> </s> $B </s>")
        special = {"unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"}
        special |= {"mask_token": "<mask>", "bos_token": "<s>", "eos_token": "</s>"}
    else:
        raw = _byte_pairs(size, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
        names, special = ["input_ids", "attention_mask"], {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, model_input_names=names, model_max_length=tokens_max, **special
    )
    if family in ("llama", "qwen2"):
        made.chat_template = _CHAT_TEMPLATE
    return made


def _wordpiece(size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary = {piece: place for place, piece in enumerate(word_pieces()[:size])}
    raw = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - a token of text
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    _between(raw, "[CLS]", "[SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    return raw


def word_pieces() -> list[str]:
    """Special tokens, single characters, the words of the corpus, and pieces that several words share."""
    words = sorted({word for line in lines() for word in re.findall(r"[a-z]+", line.lower())})
    single = [*string.ascii_lowercase, *string.digits]
    chinese = sorted({letter for line in lines() for letter in line if not letter.isascii()})
    shared = Counter("##" + word[cut : cut + length] for word in words for cut in range(1, 9) for length in (2, 3, 4))
    pieces = sorted((piece for piece, count in shared.items() if count > 1), key=lambda piece: (-shared[piece], piece))
    found = [*_SPECIAL, *string.punctuation, *single, *("##" + letter for letter in single), *chinese, *words, *pieces]
    return list(dict.fromkeys(found))


def _byte_pairs(size: int, special: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator(lines(), trainer)
    return raw


def _between(raw: Any, first: str, last: str, pair: str) -> None:
    """Put special tokens around a text and a pair."""
    from tokenizers import processors

    ids = [(token, raw.token_to_id(token)) for token in (first, last)]
    raw.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", pair=pair, special_tokens=ids)
