"""Bodies for several items: lists with an element for each item, and the number of items."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.client.errors import SettingError
from harness.client.tasks.http.pointer import Tokens, kind_of, pointer
from harness.client.tasks.http.template import Fields, Part, Varying, maker, value_part


class Repeated(msgspec.Struct, frozen=True):
    """Places in a body that depend on the items of a request: lists with an element for each, and numbers of items."""

    over: tuple[Tokens, ...]
    count: tuple[Tokens, ...] = ()

    def below(self, at: Tokens) -> list[Tokens]:
        """The places that lie in this one."""
        return [place for place in (*self.over, *self.count) if place[: len(at)] == at]


def batched(template: Any, repeated: Repeated, fields: Fields, where: str) -> Part:
    """A value whose list at each place of `over` is repeated for the items of a request.

    The list has one element in the template. Other parts are the same for all items, so they have no fields of a row.
    """
    before = len(fields.all)
    part = _with_lists(template, (), repeated, fields, where)
    if len(fields.all) == before:
        raise SettingError(f"{where}: the lists of [batch] over have no field of the item in them")
    return part


def _with_lists(template: Any, at: Tokens, repeated: Repeated, fields: Fields, where: str) -> Part:
    if at in repeated.over:
        return _one_each(template, fields, where)
    if at in repeated.count:
        if type(template) is not int:
            raise SettingError(f"{where}: is {kind_of(template)}; [batch] count needs the number of items, which is 1")
        return Varying(len)
    deeper = repeated.below(at)
    if not deeper:
        return _of_all_items(template, fields, where)
    if isinstance(template, list):
        keyed = {str(place): value for place, value in enumerate(template)}
    elif isinstance(template, dict):
        keyed = template
    else:
        raise SettingError(f"[batch] {pointer(deeper[0])!r}: {where} is {kind_of(template)}, not an object or a list")
    for place in deeper:
        if place[len(at)] not in keyed:
            key = "over" if place in repeated.over else "count"
            raise SettingError(f"[batch] {key} = {pointer(place)!r}: {where} has no {place[len(at)]!r}")
    parts = {key: _with_lists(value, (*at, key), repeated, fields, f"{where}.{key}") for key, value in keyed.items()}
    made = [(key, maker(part)) for key, part in parts.items()]
    if isinstance(template, list):
        return Varying(lambda items: [make(items) for _, make in made])
    return Varying(lambda items: {key: make(items) for key, make in made})


def _one_each(template: Any, fields: Fields, where: str) -> Part:
    """A list with an element for each item."""
    if not isinstance(template, list) or len(template) != 1:
        what = f"a list of {len(template)}" if isinstance(template, list) else kind_of(template)
        raise SettingError(f"{where}: is {what}; [batch] over needs a list of one element, that of one item")
    make = maker(value_part(template[0], fields, f"{where}[0]"))
    return Varying(lambda items: [make(values) for values in items])


def _of_all_items(template: Any, fields: Fields, where: str) -> Part:
    """A part that is the same for all items of a request."""
    fixed = Fields(fields.settings, fixed=True)
    part = value_part(template, fixed, where)
    fields.constant |= fixed.constant
    if fixed.all:
        text = f"{{{{ {fixed.all[0].source} }}}} stands outside of the lists of [batch] over"
        raise SettingError(f"{where}: {text}: one request has several items; give it a default, or set it")
    return part
