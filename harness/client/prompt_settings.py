"""How made-up prompts are set: lengths in tokens, shared prefixes, as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.base.options import option
from harness.base.quantity import share
from harness.client.checks import TOKENS_MAX, flags_between
from harness.client.errors import UsageError

IGNORE_EOS = ("auto", "yes", "no")


@dataclass(frozen=True)
class PromptSettings:
    """Made-up prompts with lengths in tokens. Without `input_tokens` there are none."""

    input_tokens: str | None = option(
        None,
        "Tokens of each made-up prompt: 512, normal:mean=512,stdev=100, lognormal:mean=,sigma=, uniform:LOW..HIGH, or "
        "file:FILE (docs/prompts.md).",
        metavar="N|DIST:...",
    )
    output_tokens: str | None = option(
        None, "Tokens of each answer, in the same forms; sent as max_tokens.", metavar="N|DIST:..."
    )
    prefix_tokens: int | None = option(
        None, "Tokens at the beginning of a prompt that it shares with others.", kind=int
    )
    prefix_pool: int | None = option(None, "Number of different prefixes [default: 1].", kind=int)
    prefix_share: float | None = option(
        None, "Share of the prompts that begin with one of them [default: all].", kind=share, metavar="SHARE"
    )
    ignore_eos: str | None = option(
        None,
        "Whether ignore_eos and min_tokens are sent, so that answers have their whole length; auto: if the server "
        "takes them [default: auto].",
        choices=IGNORE_EOS,
        bare="yes",
    )
    tokenizer: str | None = option(
        None,
        "tokenizer.json of the model, or its folder: lengths are exact [default: calibrated by the server's count].",
        metavar="PATH",
    )

    def __post_init__(self) -> None:
        if self.input_tokens is None:
            self._refuse(_LENGTHS, "--input-tokens: it belongs to made-up prompts")
        if self.prefix_tokens is None:
            for name in ("prefix_pool", "prefix_share"):
                if getattr(self, name) is not None:
                    raise UsageError(f"--{name.replace('_', '-')} needs --prefix-tokens, the length of a prefix")
        if self.ignore_eos is not None and self.output_tokens is None and self.input_tokens is not None:
            raise UsageError("--ignore-eos needs --output-tokens: it makes answers as long as these")
        flags_between(
            ("--prefix-tokens", self.prefix_tokens, 1, TOKENS_MAX), ("--prefix-pool", self.prefix_pool, 1, POOL_MAX)
        )

    def check_alone(self) -> None:
        """Raise UsageError if an option was given that needs prompts with lengths, of --input-tokens or a trace."""
        self._refuse(_FLAGS, "--input-tokens: it belongs to made-up prompts")

    def _refuse(self, names: Iterable[str], needed: str) -> None:
        for name in names:
            if getattr(self, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} needs {needed}")


POOL_MAX = 1_000_000_000
_LENGTHS = ("output_tokens", "prefix_tokens", "prefix_pool", "prefix_share")
_FLAGS = (*_LENGTHS, "ignore_eos", "tokenizer")
