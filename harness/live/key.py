"""The key of the live page: who has it may read the page and stop the run.

A browser asks for it in its own window (Basic authentication, any user name), and programs send it as a bearer token.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os

from harness.client.errors import SettingError, UsageError
from harness.client.transport.endpoint import checked_key

VARIABLE = "PACELINE_LIVE_KEY"
LENGTH_MIN = 12
"""Characters: enough that guessing, half a second each, finds nothing."""
CHALLENGE = 'Basic realm="paceline", charset="UTF-8"'


class Key:
    """Compares what a request sends with the key, in a time that does not depend on it."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def allows(self, authorization: str) -> bool:
        """Whether the value of a header `Authorization` has the key."""
        scheme, _, value = authorization.strip().partition(" ")
        given = value.strip().encode(errors="surrogateescape")
        if scheme.lower() == "basic":
            given = _password(given)
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given, self._key)


def _password(credentials: bytes) -> bytes:
    """The part after the user name, which may be any."""
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def key_of_environment(where: str, needed: bool) -> Key | None:
    """The key of the environment; None if there is none. Raises UsageError, which never holds it.

    `needed`: others than this machine reach `where`.
    """
    given = os.environ.get(VARIABLE)
    if given is None:
        if needed:
            raise UsageError(
                f"--live {where}: other machines reach this address, and anyone with the page can stop the run: set "
                f"{VARIABLE} to a key of at least {LENGTH_MIN} characters, or use --live PORT, for this machine only"
            )
        return None
    if not given.strip():
        raise UsageError(f"{VARIABLE} is empty: give it a key, or unset it")
    try:
        key = checked_key(given, VARIABLE)
    except SettingError as error:
        raise UsageError(str(error)) from error
    if len(key) < LENGTH_MIN:
        raise UsageError(f"{VARIABLE} has {len(key)} characters; at least {LENGTH_MIN} are needed")
    return Key(key)
