"""What `check` advises."""

from __future__ import annotations

import pytest

from harness import plugins
from harness.client.transport.endpoint import Access
from harness.client.transport.proxy import Proxy
from harness.client.types import Outcome, Request, Response
from harness.experiment.check_hints import hints


@pytest.mark.parametrize(("status", "named"), [(401, False), (403, True)])
def test_a_refusal_may_be_about_another_header(status: int, named: bool) -> None:
    """403 is what servers answer when a header other than the key is missing."""
    task, to = plugins.make("task", "similarity"), Access("http://127.0.0.1:8000")
    request = Request((), task, "/similarity", b"{}")
    advice = hints(task, request, to, Response(Outcome.client_error, status), Outcome.client_error, "", None)
    assert any('--header "NAME: VALUE"' in line for line in advice) is named


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("TLS: h does not answer with TLS on this port (wrong version number); is it http://?", "http:// in place of"),
        ("TLS: the handshake with h failed: tlsv13 alert certificate required", "--cert FILE"),
        ("TLS: the certificate of h is not accepted: self-signed certificate", "--ca FILE; --insecure"),
    ],
)
def test_trust_is_advised_only_where_a_certificate_was_refused(error: str, said: str) -> None:
    task = plugins.make("task", "similarity")
    request, response = Request((), task, "/similarity", b"{}"), Response(Outcome.connection_error, 0)
    (advice,) = hints(task, request, Access("https://h:8000"), response, Outcome.connection_error, error, None)
    assert said in advice
    assert ("--insecure" in advice) is ("not accepted" in error)


def test_a_proxy_that_does_not_answer_is_named_in_place_of_the_server() -> None:
    task = plugins.make("task", "similarity")
    request, response = Request((), task, "/similarity", b"{}"), Response(Outcome.connection_error, 0)
    to = Access("http://h:8000", proxy=Proxy("p", 3128))
    (advice,) = hints(task, request, to, response, Outcome.connection_error, "Connection refused (p)", None)
    assert "--proxy http://p:3128" in advice
    assert "--target" not in advice
