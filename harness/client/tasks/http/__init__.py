"""Any HTTP API, described by a TOML file: a template of the request, the place of the answer (docs/http-tasks.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.client.conversation import Exchange, Script
from harness.client.errors import BadResponse, SettingError
from harness.client.tasks._said import Completion
from harness.client.tasks.http import shipped, turns
from harness.client.tasks.http.answers import Counted, document
from harness.client.tasks.http.definition import Definition, definition
from harness.client.tasks.http.fields import UNSET
from harness.client.tasks.http.template import Constant, Values
from harness.client.types import Answers, Item, Request

__all__ = ["Counted", "Http"]


@dataclass(frozen=True)
class Http:
    """Any HTTP API, described by a TOML file (docs/http-tasks.md); the answer is what the file says.

    Args:
        file: TOML file, or the name of one that comes with paceline; `FILE:field=value,...` also sets fields, for all
            rows. Default "": `text` is given.
        text: The file's text, for a task without a file. Default None: it is read from `file`.
    """

    file: str = ""
    text: str | None = None

    def __post_init__(self) -> None:
        if not self.file and self.text is None:
            raise SettingError("needs file=FILE.toml, which describes the requests and answers of your API")
        file, settings = shipped.split(self.file)
        if self.text is None:
            object.__setattr__(self, "text", shipped.file_text(file))
        made = definition(self.text or "", file or "text", settings)
        object.__setattr__(self, "made", made)
        # Path and headers that are the same for every item.
        fixed = made.path.value if isinstance(made.path, Constant) else None
        query = "" if made.query is None else made.query.value if isinstance(made.query, Constant) else None
        path = None if fixed is None or query is None else f"{fixed}?{query}" if query else fixed
        object.__setattr__(self, "_path", path)
        object.__setattr__(self, "_headers", made.headers or None)

    # Set once, by __post_init__; a frozen dataclass has no other way.
    made: ClassVar[Definition]
    _path: ClassVar[str | None]
    _headers: ClassVar[dict[str, str] | None]

    @property
    def name(self) -> str:
        return self.made.name

    @property
    def parameter_names(self) -> frozenset[str]:
        """Fields of an item that `--param` may set."""
        return frozenset(field.source for field in self.made.fields.all)

    @property
    def row_fields(self) -> frozenset[str]:
        """Fields that it reads of a row; of a JSON Pointer the first one."""
        return frozenset(source.split("/")[1] if source.startswith("/") else source for source in self.parameter_names)

    @property
    def refused_parameters(self) -> dict[str, str]:
        """Fields that are the same for all items of a request."""
        name = self.file.partition(":")[0]
        how = f"is the same for all rows; set it with --http {name}"
        return {source: f"{source} {how}:{source}=VALUE" for source in self.made.fields.constant}

    @property
    def items_max(self) -> int:
        """Most items of one request."""
        return 1 if self.made.batch is None else self.made.batch.most

    @property
    def sample_path(self) -> str:
        """The path with an x in the place of each field."""
        return self._path if self._path is not None else self._path_of(("x",) * len(self.made.fields.all))

    def parse(self, row: Mapping[str, Any], /) -> Values:
        """The fields of the templates, converted to their types; raises ItemError that names one."""
        made = self.made
        values = made.fields.values(row)
        # What the values make can be refused, too: a part of a path, a header.
        if self._path is None:
            self._path_of(values)
        if made.item_headers:
            self._headers_of(values)
        if made.form_body:
            made.body(values)  # type: ignore[misc]
        return values

    def request(self, items: Sequence[Item], /) -> Request:
        made = self.made
        if made.batch is not None:
            return self._batched(items)
        if len(items) != 1:
            raise ValueError(f"this task sends one item a request, not {len(items)}")
        item = items[0]
        values = item.data
        return Request(
            (item,),
            self,
            self._path if self._path is not None else self._path_of(values),
            b"" if made.body is None else made.body(values),
            made.stream is not None,
            idempotent=made.idempotent,
            headers=self._headers_of(values) if made.item_headers else self._headers,
            method=made.method,
            answered=made.answered,
            events=made.stream,
            cache_key=None if made.cache_key is None else self._key_of(values),
        )

    def _batched(self, items: Sequence[Item]) -> Request:
        made = self.made
        if len(items) > self.items_max:
            raise ValueError(f"this task sends at most {self.items_max} items a request, not {len(items)}")
        assert made.body is not None  # noqa: S101 - the definition was checked
        return Request(
            tuple(items),
            self,
            self._path or "",
            made.body([item.data for item in items]),
            idempotent=made.idempotent,
            headers=self._headers,
            method=made.method,
            answered=made.answered,
            cache_key=self._key_of(items[0].data) if made.cache_key is not None and len(items) == 1 else None,
        )

    def _path_of(self, values: Values) -> str:
        made = self.made
        path: str = made.path.value if isinstance(made.path, Constant) else made.path.make(values)
        if made.query is None:
            return path
        query: str = made.query.value if isinstance(made.query, Constant) else made.query.make(values)
        return f"{path}?{query}" if query else path

    def _headers_of(self, values: Values) -> dict[str, str]:
        made = self.made
        return made.headers | {name: make(values) for name, make in made.item_headers.items()}

    def _key_of(self, values: Values) -> bytes:
        made = self.made
        assert made.cache_key is not None and not isinstance(made.cache_key, Constant)  # noqa: S101, PT018 - checked
        return f"{made.name}\0{made.cache_key.make(values)}".encode("utf-8", "surrogatepass")

    def answer(self, request: Request, body: bytes, /) -> tuple[Any, ...]:
        made = self.made
        read = document(body, made.form)
        made.success.check(read)
        if made.batch is not None:
            return self._batch_answers(read, len(request.items))
        if made.answer is None:
            if made.stream is not None:
                raise BadResponse("the answer came whole, not as a stream; `answer` says where the text is then")
            return (read,)
        value = made.answer.read(read)
        if made.one_for is not None:
            made.one_for.check(read, request.items[0].data)
        if made.usage is None:
            return (value,)
        counts = made.usage.read(read)
        if made.stream is not None and isinstance(value, str):
            return Answers((Completion(value, usage=counts),), usage=counts)
        return Answers((Counted(value, counts),), usage=counts)

    def _batch_answers(self, read: Any, items: int) -> tuple[Any, ...]:
        made = self.made
        assert made.batch is not None and made.answer is not None  # noqa: S101, PT018 - checked
        elements = made.batch.answers.read(read, items)
        answers = []
        for place, element in enumerate(elements):
            try:
                answers.append(made.answer.read(element))
            except BadResponse as error:
                raise BadResponse(f"answer {place + 1} of {items}: {error}", error.outcome) from error
        return tuple(answers) if made.usage is None else Answers(answers, usage=made.usage.read(read))

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        made = self.made
        if made.stream is None:
            raise BadResponse("the answer is a stream; describe it under [stream]")
        answer = made.stream.read(events)
        plain = made.usage is None and made.stream.reasoning is None
        return (answer.text,) if plain else Answers((answer,), usage=answer.usage)

    # Sessions.

    @property
    def _messages(self) -> int | None:
        """Place of the field of conversations."""
        return next((n for n, field in enumerate(self.made.fields.all) if field.source == turns.FIELD), None)

    def script_of(self, data: Values, /) -> Script:
        return turns.script_of(data, self._messages, self.name)

    def turn(self, script: Script, history: Sequence[Exchange], asked: tuple[Any, ...], /) -> Values:
        return turns.turn(script, history, asked, self._messages)

    def messages_of(self, answer: Any, /) -> tuple[dict[str, str], ...]:
        return turns.messages_of(answer)

    def made_up(self, data: Values, /) -> tuple[dict[str, str], ...]:
        script = self.script_of(data)
        return tuple({**message, "role": "assistant"} for message in script.exchanges[0].asked)

    def partial_answer(self, events: Sequence[bytes], /) -> str:
        """The text of a stream that the client has ended."""
        return "" if self.made.stream is None else self.made.stream.partial_answer(events)

    def text_of(self, data: Values, /) -> str | None:
        """The field that `text` names, for layers that compare texts."""
        value = data[self.made.text_at[0]] if self.made.text_at else None
        return value if isinstance(value, str) else None

    def with_text(self, data: Values, text: str, /) -> Values:
        return tuple(text if place in self.made.text_at else value for place, value in enumerate(data))

    def synthetic(self, words: Callable[[int], str], length: int, /) -> Values:
        """The example with made-up texts: `length` words in the field `text`, or shared by all fields of texts."""
        made = self.made
        fields, example = made.fields.all, made.example
        texts = made.text_at or tuple(n for n, field in enumerate(fields) if field.kind in ("any", "text"))
        row = made.fields.values(example) if example is not None else None
        share = max(1, length // max(1, len(texts)))
        values: list[Any] = []
        for place, field in enumerate(fields):
            if place == self._messages and row is None:
                values.append([{"role": "user", "content": words(max(1, length))}])
            elif place in texts and not (row is not None and not isinstance(row[place], str)):
                values.append(words(share))
            elif row is not None:
                values.append(row[place])
            elif field.optional or field.default is not UNSET:
                values.append(field.default)
            else:
                raise SettingError(
                    f"task {self.name}: {{{{ {field.source}:{field.kind} }}}} is no text, so no items can be made up; "
                    "give --input FILE, or an [example] in the file"
                )
        return tuple(values)
