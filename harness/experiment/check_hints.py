"""What to change after a check that failed: one sentence for each thing that helps with such a failure."""

from __future__ import annotations

import difflib
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from harness.client.redaction import excerpt
from harness.client.tasks.http import Http
from harness.client.tasks.http.answers import OnePlace, SeveralPlaces
from harness.client.tasks.http.pointer import MISSING, Tokens, found, kind_of, places, pointer
from harness.client.transport.endpoint import KEY_VARIABLE, Access
from harness.client.transport.outcomes import REFUSED
from harness.client.types import Outcome, Request, Response, Task

NEAR_MOST = 3


def hints(
    task: Task, request: Request, to: Access, response: Response, outcome: Outcome, error: str, document: Any
) -> list[str]:
    """What to change, the likeliest first; never empty."""
    if response.status == 0:
        made = _connection(to, outcome, error)
    elif response.status not in request.answered:
        made = _model(task, response.status, error) or _status(task, request, to, response)
    else:
        made = _answer(task, document)
    return [*made, *_general(request, response, document)] or [
        "Compare the request and the answer above with your API's documentation."
    ]


def _connection(to: Access, outcome: Outcome, error: str) -> list[str]:
    if outcome is Outcome.timed_out:
        return ["The server took the connection and did not answer in time: give --timeout more, or look at its log."]
    if "does not answer with TLS" in error:
        # No certificate was seen, so --ca and --insecure change nothing.
        return ["Give --target with http:// in place of https://, or the port at which the server has TLS."]
    if "the certificate" not in error and "TLS" in error:
        wanted = "if it wants a certificate of the client, give --cert FILE and --key FILE"
        return [f"The server ended the handshake: {wanted}; else look at its log and at the versions of TLS it takes."]
    if "TLS" in error:
        return [
            "If you trust this server, give --ca FILE; --insecure accepts any certificate, and the verdict says so."
        ]
    if to.proxy is not None and "proxy" in error:
        return [f"Look at --proxy {to.proxy.url}: its address, user and password."]
    if outcome is Outcome.bad_response:
        return ["Something other than an HTTP server answers there: look at the port of --target."]
    if to.proxy is not None:
        return [f"The request goes through --proxy {to.proxy.url}, and it does not answer: is it running there?"]
    return ["Nothing answers there: is the server running, and is --target its address and port?"]


def _model(task: Task, status: int, error: str) -> list[str]:
    """A server that misses the name of a model, or does not know it."""
    if status not in (400, 404, 422) or "model" not in error.lower():
        return []
    if isinstance(task, Http):
        made = task.made.fields
        if all(field.source != "model" for field in (*made.all, *made.constant.values())):
            return []
        return [f"If it is about the name of the model: --http {task.file.partition(':')[0]}:model=NAME sets it."]
    if not is_dataclass(task) or all(field.name != "model" for field in fields(task)):
        return []
    return [
        f"If it is about the name of the model: --task {task.name}:model=NAME sets it; GET /v1/models has the names."
    ]


def _status(task: Task, request: Request, to: Access, response: Response) -> list[str]:
    status, headers = response.status, response.headers or {}
    where = f"in {task.file}" if isinstance(task, Http) and task.file else "of the task"
    if status in (401, 403):
        sent = (
            "The key that was sent is not accepted" if to.authorization or _has_key(request, to) else "No key was sent"
        )
        key = f"{sent}. A bearer token: the environment variable {KEY_VARIABLE}. Any other key: "
        advice = [key + '--header "X-Api-Key: ${NAME}", or [headers] in a task\'s file.']
        if status == 403:
            advice.append('A right or another header may be missing: --header "NAME: VALUE" adds one.')
        return advice
    if status == 404:
        path = request.path.partition("?")[0] or "/"
        if not isinstance(task, Http):
            return [f"The server has no {path}: if it has an API of its own, describe it with --http FILE.toml."]
        return [f"The server has no {path}: look at `path` {where}, and at the path of --target."]
    if status == 405:
        allow = f"; it takes {headers['Allow']}" if "Allow" in headers else ""
        return [f"The server does not take {request.method} there{allow}: look at `method` {where}."]
    if status == 415:
        return [
            "The server wants another type of body: `form` or `body_text` in place of `body`, or a Content-Type header."
        ]
    if status in (400, 422):
        own = f" ({where})" if isinstance(task, Http) else ""
        return [f"The server read the request and did not like it: compare the body above with its message{own}."]
    if status in REFUSED:
        return ["The server is full, or not ready: wait, and check again."]
    if 300 <= status <= 399:
        return ["The server sends you elsewhere; give that address as --target."]
    if 200 <= status <= 299:
        return [f"{status} is no success for this task; if it is one, add {status} to [success] status {where}."]
    if status >= 500:
        return ["The server failed: its log says why. A body that it does not expect is a common cause."]
    return []


def _has_key(request: Request, to: Access) -> bool:
    from harness.client.transport.connection_settings import SECRET_NAME

    return any(SECRET_NAME.search(name) for name in [*to.headers, *(request.headers or {})])


def _answer(task: Task, document: Any) -> list[str]:
    """The status was a success, and the body is not the answer."""
    if not isinstance(task, Http):
        return (
            []
            if document is None
            else ["The server has another API than this task: describe it with --http FILE.toml."]
        )
    made = task.made
    if made.stream is not None:
        text = made.stream.text
        missing = text is not None and isinstance(document, dict) and found(document, text) is MISSING
        return [_near(document, text or (), "[stream] text")] if missing else []
    if any(not condition.holds(document) for condition in made.success.conditions):
        return ["[success] when says that this is a failure; the server's own message is above."]
    if document is None:
        return []
    base: Any = document
    if made.batch is not None:
        base = found(document, made.batch.answers.tokens)
        if not isinstance(base, list) or not base:
            return [_near(document, made.batch.answers.tokens, "[batch] answers")]
        base = base[0]
    answer = made.answer
    wanted = (
        {"answer": answer.place}
        if isinstance(answer, OnePlace)
        else {f"answer.{name}": place for name, place in answer.places.items()}
        if isinstance(answer, SeveralPlaces)
        else {}
    )
    return [
        _near(base, place.tokens, key)
        for key, place in wanted.items()
        if found(base, place.tokens) is MISSING and not place.optional
    ]


def _near(document: Any, tokens: Tokens, key: str) -> str:
    """Places that may have been meant: of a similar name, else any value."""
    values = {at: value for at, value in places(document) if at and not isinstance(value, dict)}
    last = tokens[-1] if tokens else ""
    near = [at for at in values if at.rpartition("/")[2].lower() == last.lower()]
    near += [
        at for at in difflib.get_close_matches(pointer(tokens), list(values), n=NEAR_MOST, cutoff=0.4) if at not in near
    ]
    shown = (near or list(values))[:NEAR_MOST]
    said = ", ".join(f'"{at}" ({_described(values[at])})' for at in shown)
    return (
        f'{key} = "{pointer(tokens)}" is not in the answer. It has {said}.'
        if said
        else f"{key}: the answer has no values."
    )


def _described(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"{kind_of(value)}, {excerpt(msgspec.json.encode(value).decode(), 40)}"


def _general(request: Request, response: Response, document: Any) -> list[str]:
    """A hint from the content type."""
    kind = (response.headers or {}).get("Content-Type", "")
    if request.stream:
        return []
    if document is None and kind.startswith("text/event-stream"):
        return ["The answer is an event stream: describe it under [stream], or do not ask for a stream in the body."]
    if document is None and "ndjson" in kind:
        return ['The answer is JSON lines: describe it under [stream] with format = "json-lines".']
    if document is None and "html" in kind:
        return ["The answer is a web page: --target or path lead to a site, not to an API."]
    return []
