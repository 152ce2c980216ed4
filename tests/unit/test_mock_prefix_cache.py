"""The mock's cache of prefixes: what it finds, what it drops, and that it is seen in usage, time and metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mock_server.prefix_cache import PrefixCache
from model_server.http.app import App
from tests.server_helpers import Answered, app_of, call, virtually

CHAT = "/v1/chat/completions"


def words(first: int, count: int) -> str:
    """Words that are all different."""
    return " ".join(f"w{number}" for number in range(first, first + count))


def test_only_whole_blocks_at_the_beginning_are_found() -> None:
    """The last token of a prompt is computed in any case."""
    cache = PrefixCache(1000, 16)
    cache.keep(cache.keys(words(0, 100)))
    assert cache.cached_tokens(cache.keys(words(0, 100))) == 96
    assert cache.cached_tokens(cache.keys(words(0, 96))) == 80
    assert cache.cached_tokens(cache.keys(words(0, 50) + " other " + words(51, 49))) == 48
    assert cache.cached_tokens(cache.keys("other " + words(1, 99))) == 0
    assert cache.cached_tokens(cache.keys(words(0, 15))) == 0


def test_the_blocks_that_were_used_longest_ago_are_dropped() -> None:
    """Of a prompt its end first: a beginning is of use without its end, and not the other way round."""
    cache = PrefixCache(64, 16)
    cache.keep(cache.keys(words(0, 33)))
    cache.keep(cache.keys(words(100, 33)))
    cache.keep(cache.keys(words(0, 33)))
    cache.keep(cache.keys(words(200, 17)))
    assert cache.cached_tokens(cache.keys(words(0, 33))) == 32
    assert cache.cached_tokens(cache.keys(words(100, 33))) == 16
    assert cache.cached_tokens(cache.keys(words(200, 17))) == 16


def app(tmp_path: Path, **more: Any) -> App:
    """100 ms plus 1 ms a token of the prompt."""
    keys = {"ttft_base_s": 0.1, "ttft_per_prompt_token_s": 0.001, **more}
    return app_of(tmp_path, "[generation]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items()))


def test_kept_tokens_are_in_usage_and_metrics_and_take_no_time(tmp_path: Path) -> None:
    """After the prompt was computed for the first time; a reset empties the cache."""
    made = app(tmp_path, prefix_cache_tokens=1000)
    body = {"messages": [{"role": "user", "content": words(0, 97)}], "max_tokens": 1}

    async def main() -> list[Answered]:
        answers = [await call(made, CHAT, body), await call(made, CHAT, body)]
        answers.append(await call(made, "/metrics", method="GET"))
        await call(made, "/debug/reset", {})
        return [*answers, await call(made, CHAT, body)]

    first, second, metrics, last = virtually(main())
    usages = [json.loads(answer.body)["usage"] for answer in (first, second, last)]
    assert [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages] == [0, 96, 0]
    assert [usage["prompt_tokens"] for usage in usages] == [100, 100, 100]
    assert first.at == pytest.approx(0.2)
    assert second.at - first.at == pytest.approx(0.104)
    assert b'vllm:prefix_cache_queries_total{model_name="simulated",engine="0"} 200' in metrics.body
    assert b'vllm:prefix_cache_hits_total{model_name="simulated",engine="0"} 96' in metrics.body


def test_the_responses_api_counts_kept_tokens_as_well(tmp_path: Path) -> None:
    """As part of its input tokens."""
    made = app(tmp_path, prefix_cache_tokens=1000)
    body = {"input": words(0, 97), "max_output_tokens": 1}

    async def main() -> list[Answered]:
        return [await call(made, "/v1/responses", body) for _ in range(2)]

    usages = [json.loads(answer.body)["usage"] for answer in virtually(main())]
    assert [usage["input_tokens_details"]["cached_tokens"] for usage in usages] == [0, 96]


def test_without_a_cache_usage_says_nothing_of_kept_tokens(tmp_path: Path) -> None:
    made = app(tmp_path)

    async def main() -> Answered:
        return await call(made, CHAT, {"messages": [{"role": "user", "content": words(0, 97)}], "max_tokens": 1})

    assert "prompt_tokens_details" not in json.loads(virtually(main()).body)["usage"]
