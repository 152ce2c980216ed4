"""Messages for connection errors, with a remedy; the same for all transports."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from harness.client.transport import local_ports
from harness.client.transport.open_files import TOO_MANY, advice

# The system's own words say it; the classes of the libraries add nothing.
_PLAIN = {errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.EHOSTUNREACH, errno.ENETUNREACH}
IDLE_CLOSE = "the server closed the kept-alive connection before it answered"


def connection_fault(error: BaseException, host: str) -> str:
    """One line for an exchange that a connection error ended."""
    for cause in reversed(_causes(error)):  # aiohttp wraps the error of the system in its own, of the same classes
        if isinstance(cause, ssl.SSLError):
            return _tls_fault(cause, host)
        if isinstance(cause, OSError) and cause.errno in TOO_MANY:
            return f"{os.strerror(cause.errno)}: too few file descriptors; {advice()}"
        if isinstance(cause, OSError) and cause.errno == errno.EADDRNOTAVAIL:
            return f"{os.strerror(cause.errno)} ({host}): no local port is free; {local_ports.advice()}"
        if isinstance(cause, socket.gaierror):
            return f"the name {host} cannot be resolved: {cause.strerror or cause}"
        if isinstance(cause, OSError) and cause.errno in _PLAIN:
            return f"{os.strerror(cause.errno)} ({host})"
        if isinstance(cause, ConnectionError) and cause.errno is None and str(cause):
            # Our own words.
            return str(cause)
    return f"{type(error).__name__}: {error}"


def _causes(error: BaseException) -> list[BaseException]:
    """The error and its chain of causes; the last one comes from the system."""
    found = [error]
    while (inner := getattr(found[-1], "certificate_error", None) or found[-1].__cause__) is not None:
        found.append(inner)
    return found


def _tls_fault(error: ssl.SSLError, host: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = getattr(error, "verify_message", "") or str(error)
        return (
            f"TLS: the certificate of {host} is not accepted: {why.rstrip('.')}. To trust its issuer, "
            "give --ca (or SSL_CERT_FILE) a file with the issuer's certificate in PEM format"
        )
    reason = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
    if "wrong version number" in reason or "record layer failure" in reason or "http request" in reason:
        return f"TLS: {host} does not answer with TLS on this port ({reason}); is it http:// instead of https://?"
    return f"TLS: the handshake with {host} failed: {reason}"
