"""/metrics is valid Prometheus text (version 0.0.4), with the names that dashboards of TEI and vLLM look for."""

from __future__ import annotations

import math
import re

from tests.contract.servers import Caller

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
Labels = frozenset[tuple[str, str]]


class Exposition:
    """The text, parsed as strictly as its grammar allows."""

    def __init__(self, text: str) -> None:
        assert text.endswith("\n")
        self.types: dict[str, str] = {}
        self.samples: dict[tuple[str, Labels], float] = {}
        helped: set[str] = set()
        current = ""
        for line in text.splitlines():
            if line.startswith("# HELP "):
                current = line.split(" ", 3)[2]
                assert current not in helped, "a family is there twice"
                helped.add(current)
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name == current, "HELP and TYPE belong together"
                assert kind in {"counter", "gauge", "histogram"}
                self.types[name] = kind
            else:
                self._sample(line, current)

    def _sample(self, line: str, family: str) -> None:
        match = _SAMPLE.fullmatch(line)
        assert match, line
        name, inside, value = match.groups()
        endings = ("_bucket", "_sum", "_count") if self.types[family] == "histogram" else ("",)
        assert name in {family + ending for ending in endings}, f"{line} is not of {family}"
        labels = frozenset(_LABEL.findall(inside or ""))
        assert ",".join(f'{key}="{text}"' for key, text in _LABEL.findall(inside or "")) == (inside or "")
        assert (name, labels) not in self.samples, f"{line} is there twice"
        self.samples[name, labels] = float(value)

    def value(self, name: str, **labels: str) -> float:
        """The one sample of that name with at least these labels."""
        wanted = set(labels.items())
        (value,) = [number for (key, given), number in self.samples.items() if key == name and wanted <= given]
        return value


def scrape(call: Caller) -> Exposition:
    answer = call.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Exposition(answer.body.decode())


def test_the_text_is_valid_and_its_histograms_add_up(call: Caller) -> None:
    call.post("/embed", {"inputs": ["a", "b"]})
    call.post("/annotate", {"text": "a", "max_tokens": 3})
    found = scrape(call)
    for family in (name for name, kind in found.types.items() if kind == "histogram"):
        series: dict[Labels, list[tuple[float, float]]] = {}
        for (name, labels), value in found.samples.items():
            if name == f"{family}_bucket":
                (bound,) = [math.inf if text == "+Inf" else float(text) for key, text in labels if key == "le"]
                series.setdefault(frozenset(pair for pair in labels if pair[0] != "le"), []).append((bound, value))
        assert series
        for labels, buckets in series.items():
            assert [bound for bound, _ in buckets] == sorted({bound for bound, _ in buckets})
            assert [value for _, value in buckets] == sorted(value for _, value in buckets)
            assert buckets[-1] == (math.inf, found.samples[f"{family}_count", labels])
            assert (f"{family}_sum", labels) in found.samples
    assert all(value >= 0 for value in found.samples.values())


def test_what_happened_is_counted_under_the_names_of_tei_and_vllm(call: Caller) -> None:
    before = scrape(call)
    call.post("/embed", {"inputs": ["a small cat", "b"]})
    call.post("/embed", {"inputs": []})
    generated = call.post("/annotate", {"text": "a b c", "max_tokens": 4}).json
    after = scrape(call)

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert grown("te_request_count") == 3
    assert grown("te_request_success") == 2
    assert grown("te_request_failure", err="validation") == 1
    assert grown("te_request_failure", err="overloaded") == 0
    assert grown("te_request_duration_count") == 3
    assert grown("te_request_queue_duration_count") == grown("te_request_inference_duration_count") == 2
    assert grown("te_request_input_length_count") == 2
    assert grown("te_batch_next_size_sum") == 2
    assert 1 <= grown("te_batch_next_size_count") == grown("te_batch_next_tokens_count") <= 2
    assert after.value("te_queue_size") == 0
    model = call.get("/v1/models").json["data"][0]["id"]
    assert grown("vllm:generation_tokens_total", model_name=model) == generated["tokens"]
    assert grown("vllm:prompt_tokens_total", model_name=model) == generated["prompt_tokens"]
    assert grown("vllm:request_success_total", finished_reason=generated["finish_reason"]) == 1
    assert grown("vllm:time_to_first_token_seconds_count") == 1
    assert grown("vllm:request_generation_tokens_sum") == generated["tokens"]
    assert after.value("vllm:num_requests_running") == after.value("vllm:num_requests_waiting") == 0
