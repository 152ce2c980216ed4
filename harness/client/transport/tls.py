"""TLS: which certificates are trusted, and the client's own."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from harness.client.errors import SettingError


@dataclass(frozen=True)
class Tls:
    """How the server's certificate is checked, and the certificate that the client shows.

    Args:
        ca: File with the certificates of trusted issuers, in PEM format, in place of the system's. Default None.
        cert: File with the client's own certificate, in PEM format. Default None.
        key: File with the private key of `cert`, if it is not in the same file. Default None.
        insecure: Whether any certificate of the server is accepted. Default False.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if self.insecure and self.ca:
            raise SettingError("--insecure and --ca exclude each other: with --insecure no certificate is checked")
        if self.key and not self.cert:
            raise SettingError("--key needs --cert: the certificate that the key belongs to")
        for name, path in (("--ca", self.ca), ("--cert", self.cert), ("--key", self.key)):
            if path is not None:
                _check_file(name, path)
        if self.ca or self.cert:
            self.context()

    def context(self) -> ssl.SSLContext:
        """The context of the system's library; raises SettingError that names a file that it refuses."""
        _check_environment()
        context = ssl.create_default_context() if self.ca is None else _trusting(self.ca)
        context.set_alpn_protocols(["http/1.1"])
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert is not None:
            _show(context, self.cert, self.key)
        return context


def _check_file(name: str, path: str) -> None:
    if not Path(path).is_file():
        found = "is a directory" if Path(path).is_dir() else "is a pipe or device"
        what = found if Path(path).exists() else "there is no such file"
        raise SettingError(f"{name} {path}: {what}; expected a file in PEM format")
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise SettingError(f"{name} {path}: {error.strerror or error}") from error
    if b"-----BEGIN " not in text:
        raise SettingError(f"{name} {path}: is not in PEM format: it has no line -----BEGIN ...-----")


def _check_environment() -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        path = os.environ.get(name)
        if path and not Path(path).exists():
            raise SettingError(f"{name}={path!r}: there is no such file; expected certificates in PEM format")


def _trusting(path: str) -> ssl.SSLContext:
    """A context that trusts these issuers only."""
    try:
        context = ssl.create_default_context(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise SettingError(f"--ca {path}: holds no certificate that can be read: {_reason(error)}") from error
    if not context.get_ca_certs() and not context.cert_store_stats()["x509"]:
        raise SettingError(f"--ca {path}: holds no certificate")
    return context


def _show(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    """Load the client's own certificate. A password is not asked for: nobody may be there to answer."""
    try:
        context.load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise SettingError(f"--key {key or cert}: does not belong to --cert {cert}") from error
        if key is None and "PRIVATE KEY" not in Path(cert).read_text(errors="replace"):
            raise SettingError(f"--cert {cert}: holds no private key; add --key FILE") from error
        if "ENCRYPTED" in Path(key or cert).read_text(errors="replace"):
            text = f"--key {key or cert}: is encrypted; expected a key without a password"
            raise SettingError(text) from error
        raise SettingError(f"--cert {cert}: cannot be used: {_reason(error)}") from error
    except OSError as error:
        raise SettingError(f"--cert {cert}: cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(reason).replace("_", " ").lower()
