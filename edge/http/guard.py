"""What every request passes on its way in and every answer on its way out."""

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.http.auth import Credentials
from edge.http.loopback import host_name, is_loopback

# No CORS header on purpose: a page of another origin may not read what is seen here.
_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# Orchestrators probe these, and mostly cannot log in; they tell nothing but well or not and why.
_OPEN_PATHS = ("/livez", "/readyz")


class Guard:
    """ASGI middleware: credentials, the ``Host`` header of a loopback server, security headers.

    ``loopback_names_only`` refuses with 421 a ``Host`` that is no loopback name. Without it a web
    page anywhere could have its own name resolve to 127.0.0.1 and read the cameras through the
    browser of somebody who sits at this machine (DNS rebinding).
    """

    def __init__(
        self, app: ASGIApp, credentials: Credentials, *, loopback_names_only: bool
    ) -> None:
        self._app = app
        self._credentials = credentials
        self._loopback_names_only = loopback_names_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._loopback_names_only and host and not is_loopback(host_name(host)):
            return PlainTextResponse(
                f"this server answers to localhost, not to {host!r}: a proxy in front of it has to "
                "send a loopback Host, or set http.token_file\n",
                status_code=421,
            )
        if scope["path"] in _OPEN_PATHS or self._credentials.admit(
            headers.get("authorization", "")
        ):
            return None
        return PlainTextResponse(
            "log in: a bearer token, or a user name and a password\n",
            status_code=401,
            headers={"WWW-Authenticate": 'Basic realm="rfdetr-edge", charset="UTF-8"'},
        )
