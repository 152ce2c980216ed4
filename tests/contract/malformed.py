"""Requests that are not right, and what each has to be answered; the same table for both servers.

Bounds of the servers they meet: texts of 20 000 characters, 64 items, 64 tokens, bodies of 1 MiB.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

DEEP = 100_000
LONG = "word " * 3_000  # over every model's context, within the bound of characters
HUGE = "a" * 20_001


@dataclass(frozen=True)
class Wrong:
    """One request, and its answer. A `body` that is text or bytes goes out as it stands."""

    what: str
    path: str
    body: Any
    status: int
    code: str
    param: str | None = None
    method: str = "POST"
    tei: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def raw(self) -> bytes | None:
        if self.body is None:
            return None
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


def _form(what: str, given: dict[str, Any], code: str, param: str) -> Wrong:
    body = {"messages": [{"role": "user", "content": "a"}], "response_format": given}
    return Wrong(what, "/v1/chat/completions", body, 400, code, f"response_format.{param}")


def _schema(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _tei(what: str, path: str, body: Any, status: int, code: str, param: str | None = None) -> Wrong:
    return Wrong(what, path, body, status, code, param, tei=True)


PAIR = {"text1": "a", "text2": "b"}
NOT_JSON = [
    Wrong("no body", "/similarity", b"", 400, "invalid_json"),
    Wrong("only blanks", "/similarity", "   ", 400, "invalid_json"),
    Wrong("a form", "/similarity", "text1=a&text2=b", 400, "invalid_json"),
    Wrong("cut off", "/similarity", '{"text1": "a", "text', 400, "invalid_json"),
    Wrong("two documents", "/similarity", '{"text1":"a","text2":"b"}{}', 400, "invalid_json"),
    Wrong("single quotes", "/similarity", "{'text1': 'a', 'text2': 'b'}", 400, "invalid_json"),
    Wrong("a trailing comma", "/similarity", '{"text1":"a","text2":"b",}', 400, "invalid_json"),
    Wrong("a comment", "/similarity", '{"text1":"a",/* b */"text2":"b"}', 400, "invalid_json"),
    Wrong("a byte order mark", "/similarity", b'\xef\xbb\xbf{"text1":"a","text2":"b"}', 400, "invalid_json"),
    Wrong("UTF-16", "/similarity", json.dumps(PAIR).encode("utf-16"), 400, "invalid_json"),
    Wrong("bytes that are not UTF-8", "/similarity", b'{"text1":"\xff\xfe","text2":"b"}', 400, "invalid_json"),
    Wrong("an overlong UTF-8 sequence", "/similarity", b'{"text1":"\xc0\xaf","text2":"b"}', 400, "invalid_json"),
    Wrong("half a surrogate pair", "/similarity", '{"text1":"\\ud800","text2":"b"}', 400, "invalid_json"),
    Wrong("a bare NUL", "/similarity", b'{"text1":"\x00","text2":"b"}', 400, "invalid_json"),
    Wrong("NaN", "/annotate", '{"text":"a","max_tokens":NaN}', 400, "invalid_json"),
    Wrong("Infinity", "/annotate", '{"text":"a","max_tokens":-Infinity}', 400, "invalid_json"),
    Wrong("deep arrays", "/similarity", '{"x":' + "[" * DEEP, 400, "invalid_json"),
    Wrong("deep objects", "/similarity", '{"x":' * DEEP, 400, "invalid_json"),
    Wrong("deep and well closed", "/zero-shot", '{"x":' + "[" * DEEP + "]" * DEEP + "}", 400, "invalid_json"),
    Wrong("not gzip", "/similarity", b"\x1f\x8b\x08\x00rest", 400, "invalid_encoding",
          headers={"content-encoding": "gzip"}),
    Wrong("gzip cut off", "/similarity", gzip.compress(b" " * 99)[:-9], 400, "invalid_encoding",
          headers={"content-encoding": "gzip"}),
    Wrong("gzip of very many members", "/similarity", gzip.compress(b"") * 50_000, 400, "invalid_encoding",
          headers={"content-encoding": "gzip"}),
    Wrong("gzip that grows over the bound", "/similarity", gzip.compress(b" " * (1 << 24)), 413, "body_too_large",
          headers={"content-encoding": "GZIP"}),
    Wrong("another packing", "/similarity", b"(\xb5/\xfd", 415, "unsupported_encoding",
          headers={"content-encoding": "zstd"}),
    _tei("not JSON for TEI", "/embed", '{"inputs":', 422, "invalid_json"),
]  # fmt: skip
WRONG_TYPES = [
    Wrong("a list", "/similarity", [], 400, "invalid_value"),
    Wrong("null", "/similarity", "null", 400, "invalid_value"),
    Wrong("a number", "/similarity", "7", 400, "invalid_value"),
    Wrong("a number as text", "/similarity", {"text1": 5, "text2": "b"}, 400, "invalid_value", "text1"),
    Wrong("null as text", "/similarity", {"text1": "a", "text2": None}, 400, "invalid_value", "text2"),
    Wrong("a list as text", "/annotate", {"text": ["a"]}, 400, "invalid_value", "text"),
    Wrong("text as a number", "/annotate", {"text": "a", "max_tokens": "5"}, 400, "invalid_value", "max_tokens"),
    Wrong("a fraction of a token", "/annotate", {"text": "a", "max_tokens": 1.5}, 400, "invalid_value", "max_tokens"),
    Wrong("true as a number", "/annotate", {"text": "a", "max_tokens": True}, 400, "invalid_value", "max_tokens"),
    Wrong("1e400", "/annotate", '{"text":"a","max_tokens":1e400}', 400, "invalid_value", "max_tokens"),
    Wrong("no end of digits", "/annotate", '{"text":"a","max_tokens":%s}' % ("9" * 400), 400, "invalid_value"),
    Wrong("text as a switch", "/annotate", {"text": "a", "stream": "yes"}, 400, "invalid_value", "stream"),
    Wrong("labels that are a text", "/zero-shot", {"text": "a", "labels": "b"}, 400, "invalid_value", "labels"),
    Wrong("labels that are numbers", "/zero-shot", {"text": "a", "labels": [1]}, 400, "invalid_value", "labels[0]"),
    Wrong("a role nobody has", "/v1/chat/completions", {"messages": [{"role": "boss", "content": "x"}]}, 400,
          "invalid_value", "messages[0].role"),
    Wrong("a sound", "/v1/chat/completions",
          {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
          400, "invalid_value", "messages[0].content[0].type"),
    Wrong("a prompt of texts and ids", "/v1/completions", {"prompt": ["a", 2]}, 400, "invalid_value", "prompt"),
    Wrong("a negative token id", "/v1/embeddings", {"input": [1, -2]}, 400, "invalid_value", "input[1]"),
    Wrong("an unknown encoding", "/v1/embeddings", {"input": "a", "encoding_format": "hex"}, 400, "invalid_value",
          "encoding_format"),
    _tei("a number to embed", "/embed", {"inputs": 5}, 422, "invalid_value", "inputs"),
    _tei("a triple to predict", "/predict", {"inputs": [["a", "b", "c"]]}, 422, "invalid_value", "inputs"),
    _tei("three texts to predict", "/predict", {"inputs": ["a", "b", "c"]}, 422, "invalid_value", "inputs"),
    _tei("sentences that are a text", "/similarity", {"inputs": {"source_sentence": "a", "sentences": "b"}}, 422,
         "invalid_value", "inputs.sentences"),
]  # fmt: skip
MISSING = [
    Wrong("no text1", "/similarity", {"text2": "b"}, 400, "missing_field", "text1"),
    Wrong("no text2", "/similarity", {"text1": "a"}, 400, "missing_field", "text2"),
    Wrong("nothing at all", "/fill-mask", {}, 400, "missing_field", "text"),
    Wrong("no labels", "/zero-shot", {"text": "a"}, 400, "missing_field", "labels"),
    Wrong("functions", "/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "functions": [{}]}, 400,
          "unsupported_parameter", "functions"),
    Wrong("a field nobody knows", "/v1/completions", {"prompt": "a", "min_tokns": 2}, 400, "unsupported_parameter",
          "min_tokns"),
    Wrong("a field nobody knows, then no JSON", "/annotate", '{"foo": null, "text": "a', 400, "invalid_json"),
    Wrong("a field nobody knows, then what is deep", "/annotate", '{"foo": null, "text": ' + "[" * DEEP, 400,
          "invalid_json"),
    Wrong("a seed beyond 64 bits", "/annotate", '{"foo": null, "text": "a", "seed": 1' + "0" * 40 + "}", 400,
          "invalid_value", "seed"),
    Wrong("a seed of 5000 digits", "/annotate", '{"foo": null, "text": "a", "seed": ' + "1" * 5000 + "}", 400,
          "invalid_value"),
    Wrong("targets of a pipeline", "/fill-mask", {"inputs": "a [MASK]", "parameters": {"targets": ["b"]}}, 400,
          "unsupported_parameter", "parameters.targets"),
    Wrong("top_k", "/annotate", {"text": "a", "top_k": 4}, 400, "unsupported_parameter", "top_k"),
    Wrong("two answers of best", "/v1/completions", {"prompt": "a", "best_of": 2}, 400, "unsupported_parameter",
          "best_of"),
    Wrong("another field of a message", "/v1/chat/completions", {"messages": [{"role": "user", "content": "a",
          "weight": 0}]}, 400, "unsupported_parameter", "messages[0].weight"),
    Wrong("more tokens than at most", "/annotate", {"text": "a", "max_tokens": 2, "min_tokens": 3}, 400,
          "invalid_value", "min_tokens"),
    Wrong("an empty list of ids", "/v1/completions", {"prompt": [[1], []]}, 400, "empty", "prompt[1]"),
    Wrong("nothing to tokenize", "/tokenize", {}, 400, "invalid_value", "prompt"),
    _form("another format", {"type": "xml"}, "invalid_value", "type"),
    _form("a schema without its envelope", {"type": "object", "properties": {}}, "invalid_value", "type"),
    _form("no schema", {"type": "json_schema"}, "missing_field", "json_schema.schema"),
    _form("a schema that is a text", _schema("object"), "invalid_schema", "json_schema.schema"),
    _form("a keyword that is not supported", _schema({"not": {}}), "invalid_schema", "json_schema.schema.not"),
    _form("numbers that do not exist", _schema({"type": "integer", "minimum": 5, "maximum": 3}), "invalid_schema",
          "json_schema.schema"),
    Wrong("logprobs", "/v1/completions", {"prompt": "a", "logprobs": 0}, 400, "unsupported_parameter", "logprobs"),
    Wrong("too many dimensions", "/v1/embeddings", {"input": "a", "dimensions": 100_000}, 400, None, "dimensions"),
    _tei("vectors of any length", "/embed", {"inputs": "a", "normalize": False}, 422, None),
    _tei("cut at the start", "/embed", {"inputs": "a", "truncation_direction": "left"}, 422, None),
    Wrong("another model", "/v1/models/someone/else", None, 404, "model_not_found", "model", method="GET"),
    Wrong("no parameters", "/zero-shot", {"inputs": "a"}, 400, "missing_field", "parameters"),
    Wrong("no prompt", "/v1/completions", {"model": "m"}, 400, "missing_field", "prompt"),
    Wrong("no messages", "/v1/chat/completions", {}, 400, "missing_field", "messages"),
    Wrong("a message without a role", "/v1/chat/completions", {"messages": [{"content": "x"}]}, 400, "missing_field",
          "messages[0].role"),
    _tei("no inputs", "/embed", {}, 422, "missing_field", "inputs"),
    _tei("no query", "/rerank", {"texts": ["a"]}, 422, "missing_field", "query"),
    _tei("no sentences", "/similarity", {"inputs": {"source_sentence": "a"}}, 422, "missing_field", "inputs.sentences"),
]  # fmt: skip
CHAT = {"messages": [{"role": "user", "content": "x"}]}
VALUES = [
    Wrong("no mask", "/fill-mask", {"text": "no mask here"}, 400, "mask_missing", "text"),
    Wrong("a mask in lower case", "/fill-mask", {"text": "a [mask] b"}, 400, "mask_misspelled", "text"),
    Wrong("RoBERTa's mask", "/fill-mask", {"text": "a <mask> b"}, 400, "mask_misspelled", "text"),
    Wrong("a mask with blanks", "/fill-mask", {"text": "a [ MASK ] b"}, 400, "mask_misspelled", "text"),
    Wrong("one text of two without", "/fill-mask", {"text": ["[MASK]", "none"]}, 400, "mask_missing", "text"),
    Wrong("no texts", "/fill-mask", {"text": []}, 400, "empty", "text"),
    Wrong("no candidates", "/fill-mask", {"text": "[MASK]", "top_k": 0}, 400, "invalid_value", "top_k"),
    Wrong("too many candidates", "/fill-mask", {"text": "[MASK]", "top_k": 101}, 400, "invalid_value", "top_k"),
    Wrong("an empty list of labels", "/zero-shot", {"text": "a", "labels": []}, 400, "empty", "labels"),
    Wrong("a blank label", "/zero-shot", {"text": "a", "labels": ["b", " "]}, 400, "empty", "labels[1]"),
    Wrong("a label twice", "/zero-shot", {"text": "a", "labels": ["b", "c", "b"]}, 400, "duplicate", "labels[2]"),
    Wrong("blank labels in a text", "/zero-shot", {"inputs": "a", "parameters": {"candidate_labels": ",,"}}, 400,
          "empty", "labels[0]"),
    Wrong("a template without a place", "/zero-shot", {"text": "a", "labels": ["b"], "hypothesis_template": "x"}, 400,
          "invalid_template", "hypothesis_template"),
    Wrong("a blank text to classify", "/zero-shot", {"text": " \n", "labels": ["b"]}, 400, "empty", "text"),
    Wrong("a blank prompt", "/annotate", {"text": ""}, 400, "empty", "text"),
    Wrong("no tokens", "/annotate", {"text": "a", "max_tokens": 0}, 400, "invalid_value", "max_tokens"),
    Wrong("fewer than no tokens", "/annotate", {"text": "a", "max_tokens": -5}, 400, "invalid_value", "max_tokens"),
    Wrong("no chat", "/v1/chat/completions", {"messages": []}, 400, "empty", "messages"),
    Wrong("two answers", "/v1/chat/completions", {**CHAT, "n": 2}, 400, "invalid_value", "n"),
    Wrong("no tokens of chat", "/v1/chat/completions", {**CHAT, "max_tokens": 0}, 400, "invalid_value", "max_tokens"),
    Wrong("a blank prompt to complete", "/v1/completions", {"prompt": ""}, 400, "empty", "prompt[0]"),
    Wrong("no prompts", "/v1/completions", {"prompt": []}, 400, "empty", "prompt"),
    Wrong("nothing to embed", "/v1/embeddings", {"input": []}, 400, "empty", "input"),
    Wrong("a blank text to embed", "/v1/embeddings", {"input": ["a", ""]}, 400, "empty", "input[1]"),
    Wrong("no dimensions", "/v1/embeddings", {"input": "a", "dimensions": 0}, 400, "invalid_value", "dimensions"),
    _tei("a blank text", "/embed", {"inputs": ""}, 400, "empty", "inputs[0]"),
    _tei("an empty batch", "/embed", {"inputs": []}, 400, "empty", "inputs"),
    _tei("nothing to rank", "/rerank", {"query": "a", "texts": []}, 400, "empty", "texts"),
    _tei("nothing to predict", "/predict", {"inputs": []}, 400, "empty", "inputs"),
    _tei("no sentences to compare", "/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400, "empty",
         "inputs.sentences"),
]  # fmt: skip
TOO_MUCH = [
    Wrong("a huge body", "/similarity", b" " * ((1 << 20) + 1), 413, "body_too_large"),
    Wrong("a huge text", "/similarity", {"text1": HUGE, "text2": ""}, 400, "text_too_long", "text1"),
    Wrong("over the context", "/similarity", {"text1": LONG, "text2": LONG}, 400, "context_length_exceeded"),
    Wrong("a prompt over the context", "/annotate", {"text": LONG, "max_tokens": 1}, 400, "context_length_exceeded"),
    Wrong("a huge prompt", "/annotate", {"text": HUGE}, 400, "text_too_long", "text"),
    Wrong("too many tokens", "/annotate", {"text": "a", "max_tokens": 65}, 400, "invalid_value", "max_tokens"),
    Wrong("too many labels", "/zero-shot", {"text": "a", "labels": [str(n) for n in range(65)]}, 400,
          "too_many_items", "labels"),
    Wrong("texts times labels", "/zero-shot",
          {"inputs": ["a"] * 9, "parameters": {"candidate_labels": [str(n) for n in range(8)]}},
          400, "too_many_items", "labels"),
    Wrong("a huge template", "/zero-shot", {"text": "a", "labels": ["b"], "hypothesis_template": "{}" + HUGE}, 400,
          "text_too_long", "hypothesis_template"),
    Wrong("too many masks", "/fill-mask", {"text": ["[MASK]"] * 65}, 400, "too_many_items", "text"),
    Wrong("too many prompts", "/v1/completions", {"prompt": ["a"] * 65}, 400, "too_many_items", "prompt"),
    Wrong("too long a chat", "/v1/chat/completions", {"messages": [{"role": "user", "content": HUGE}]}, 400,
          "text_too_long", "messages"),
    _tei("too many inputs", "/embed", {"inputs": ["a"] * 65}, 413, "too_many_items", "inputs"),
    _tei("a huge input", "/embed", {"inputs": HUGE}, 413, "text_too_long", "inputs[0]"),
    _tei("an input over the context", "/embed", {"inputs": LONG}, 413, "context_length_exceeded"),
    _tei("too many texts", "/rerank", {"query": "a", "texts": ["b"] * 65}, 413, "too_many_items", "texts"),
    _tei("too many sentences", "/similarity", {"inputs": {"source_sentence": "a", "sentences": ["b"] * 65}}, 413,
         "too_many_items", "inputs.sentences"),
]  # fmt: skip
WRONG_PLACE = [
    Wrong("a route nobody has", "/nowhere", PAIR, 404, "not_found"),
    Wrong("a slash too many", "/similarity/", PAIR, 404, "not_found"),
    Wrong("another case", "/Similarity", PAIR, 404, "not_found"),
    Wrong("bytes in the path", "/%ff%00", PAIR, 404, "not_found"),
    Wrong("a very long path", "/" + "a" * 5_000, PAIR, 404, "not_found"),
    Wrong("GET for work", "/similarity", None, 405, "method_not_allowed", method="GET"),
    Wrong("PUT for work", "/similarity", PAIR, 405, "method_not_allowed", method="PUT"),
    Wrong("DELETE", "/v1/models", None, 405, "method_not_allowed", method="DELETE"),
    Wrong("POST for health", "/health", PAIR, 405, "method_not_allowed"),
    Wrong("OPTIONS", "/similarity", None, 405, "method_not_allowed", method="OPTIONS"),
    Wrong("a deadline in words", "/similarity", PAIR, 400, "invalid_value", "X-Request-Timeout-Ms",
          headers={"X-Request-Timeout-Ms": "soon"}),
    Wrong("a deadline in the past", "/similarity", PAIR, 400, "invalid_value", "X-Request-Timeout-Ms",
          headers={"X-Request-Timeout-Ms": "-1"}),
    Wrong("a deadline that is no number", "/annotate", {"text": "a"}, 400, "invalid_value", "X-Request-Timeout-Ms",
          headers={"X-Request-Timeout-Ms": "nan"}),
    Wrong("a hundred and one headers", "/similarity", PAIR, 431, "head_too_large",
          headers={f"x-{n}": "a" for n in range(101)}),
    Wrong("a huge header", "/similarity", PAIR, 431, "head_too_large", headers={"cookie": "a" * 66_000}),
]  # fmt: skip
WRONGS = [*NOT_JSON, *WRONG_TYPES, *MISSING, *VALUES, *TOO_MUCH, *WRONG_PLACE]

_POST = b"POST /similarity HTTP/1.1\r\nhost: x\r\n"
NOT_HTTP = {  # whole connections; each has to be answered 400 or 431 and closed
    "nonsense": b"nonsense\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9": b"GET /health HTTP/9.9\r\nhost: x\r\n\r\n",
    "a method nobody has": b"FROB /health HTTP/1.1\r\nhost: x\r\n\r\n",
    "NUL in the path": b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
    "bytes in the path": b"GET /\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
    "a header without a colon": b"GET /health HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
    "a folded header": b"GET /health HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n",
    "line feeds only": b"GET /health HTTP/1.1\nhost: x\n\n",
    "a length in words": _POST + b"content-length: five\r\n\r\n{}",
    "a negative length": _POST + b"content-length: -5\r\n\r\n{}",
    "a length over all bounds": _POST + b"content-length: 99999999999999999999999\r\n\r\n{}",
    "two lengths": _POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "length and chunks": _POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks of garbage": _POST + b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "a good chunk, then garbage": _POST + b'transfer-encoding: chunked\r\n\r\n5\r\n{"tex\r\nqq\r\n',
    "an upgrade with a body": _POST + b"connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 2\r\n\r\n{}",
    "a head without end": b"GET /health HTTP/1.1\r\nx: " + b"a" * 200_000,
    "headers without end": b"GET /health HTTP/1.1\r\n" + b"".join(b"x-%d: a\r\n" % n for n in range(20_000)),
}
