"""How each kind of server is made for the contract tests: the mock, and the model server with tiny random weights."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from mock_server.app import create
from mock_server.profile import Capacity, Generation, Profile, Service
from model_server.app import App
from model_server.settings import FaceSettings

KINDS = ["mock"]
_FACE = {field.name for field in fields(FaceSettings)}


def make(kind: str, *, slow_s: float = 0.0, queue_max: int = 4096, running_max: int = 0, **face: Any) -> App:
    """An app; `slow_s` is what every batch and token takes longer, one worker at a time."""
    settings = FaceSettings(**face)
    assert kind == "mock"
    profile = Profile(
        input_tokens_max=512,
        service=Service(base_s=slow_s),
        capacity=Capacity(workers=1 if slow_s else 0, batch_max_items=4, queue_max=queue_max),
        generation=Generation(itl_base_s=slow_s, running_max=running_max, queue_max=queue_max),
    )
    return create(profile, settings=settings)
