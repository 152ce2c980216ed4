"""What `check` advises."""

from __future__ import annotations

import pytest

from harness import plugins
from harness.client.transport.endpoint import Access
from harness.client.types import Outcome, Request, Response
from harness.experiment.check_hints import hints


@pytest.mark.parametrize(("status", "named"), [(401, False), (403, True)])
def test_a_refusal_may_be_about_another_header(status: int, named: bool) -> None:
    """403 is what servers answer when a header other than the key is missing."""
    task, to = plugins.make("task", "similarity"), Access("http://127.0.0.1:8000")
    request = Request((), task, "/similarity", b"{}")
    advice = hints(task, request, to, Response(Outcome.client_error, status), Outcome.client_error, "", None)
    assert any('--header "NAME: VALUE"' in line for line in advice) is named
