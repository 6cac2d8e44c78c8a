"""Who may look: a bearer token, a user name with a password, or both."""

import base64
import binascii
import hmac
from dataclasses import dataclass

from edge.config import HttpSettings, read_secret


@dataclass(frozen=True)
class Credentials:
    """What a request has to show. Compared in constant time; never printed."""

    token: str | None = None
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "Credentials(***)"

    @property
    def required(self) -> bool:
        return self.token is not None or self.password is not None

    def admit(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header's value is enough (always, where none is set)."""
        if not self.required:
            return True
        scheme, _, value = authorization.partition(" ")
        value = value.strip()
        if scheme.lower() == "bearer":
            return _same(value, self.token)
        if scheme.lower() != "basic":
            return False
        try:
            username, colon, password = (
                base64.b64decode(value, validate=True).decode().partition(":")
            )
        except (binascii.Error, UnicodeDecodeError):
            return False
        if not colon:
            return False
        # A browser can only ask for a name and a password: the token is taken as a password.
        if _same(password, self.token):
            return True
        right_name = _same(username, self.username)
        return _same(password, self.password) and right_name


def read_credentials(settings: HttpSettings) -> Credentials:
    """The credentials that the settings name. Raises what ``read_secret`` raises."""
    return Credentials(
        token=None if settings.token_file is None else read_secret(settings.token_file),
        username=settings.username,
        password=None if settings.password_file is None else read_secret(settings.password_file),
    )


def _same(given: str, expected: str | None) -> bool:
    # An empty secret opens nothing: a file that was meant to hold one must not open everything.
    if not expected:
        return False
    return hmac.compare_digest(given.encode(), expected.encode())
