"""Connection errors in words: the system's own, without the classes of the libraries."""

from __future__ import annotations

import errno
import os
import socket

import aiohttp
import pytest

from harness.client.transport.connection_errors import connection_fault


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH])
def test_an_error_of_the_system_is_told_in_its_words(number: int) -> None:
    """As it comes, and wrapped by aiohttp."""
    bare = OSError(number, "Connect call failed ('127.0.0.1', 8000)")
    wrapped = aiohttp.ClientOSError(number, "Cannot connect to host x:8000 ssl:default")
    wrapped.__cause__ = bare
    expected = f"{os.strerror(number)} (x)"
    assert connection_fault(bare, "x") == connection_fault(wrapped, "x") == expected


def test_a_name_that_cannot_be_resolved_is_named() -> None:
    """Its numbers are not those of the system's errors."""
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert connection_fault(error, "nowhere.example") == (
        "the name nowhere.example cannot be resolved: Name or service not known"
    )


def test_our_own_words_stand_alone() -> None:
    """Other errors keep their class: it may be all that there is."""
    assert connection_fault(ConnectionError("the server closed the connection"), "x") == (
        "the server closed the connection"
    )
    assert connection_fault(ConnectionError(), "x") == "ConnectionError: "
