"""A camera's annotated pictures as one endless answer, which an ``<img>`` or a player can show."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from edge.http.board import Picture, PictureBoard

_BOUNDARY = b"rfdetr-edge-picture"
_MEDIA_TYPE = b"multipart/x-mixed-replace; boundary=" + _BOUNDARY
_MAX_VIEWERS = 16
_MAX_FPS = 10
# A camera that delivers nothing new: its last picture again, so that no proxy takes the silence for
# a dead connection and hangs up.
_REPEAT_S = 10.0


class MjpegStreams:
    """The ASGI app behind ``stream.mjpg``; it lives in the HTTP server's event loop.

    Each viewer takes pictures at its own pace, at most 10 a second, and always the newest: one with
    a slow line skips pictures and delays nobody. At most 16 watch at a time. A stream ends when its
    viewer goes, when the camera is cleared from the board, and when ``stopping`` is set.
    """

    def __init__(
        self,
        board: PictureBoard,
        has_camera: Callable[[str], bool],
        drawing: Executor,
        stopping: asyncio.Event,
    ) -> None:
        self._board = board
        self._has_camera = has_camera
        self._drawing = drawing
        self._stopping = stopping
        self._viewers = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        camera = scope["path_params"]["camera"]
        refusal = self._refusal(camera)
        if refusal is None and scope["method"] == "HEAD":
            refusal = Response(headers={"Content-Type": _MEDIA_TYPE.decode()})
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self._viewers += 1
        try:
            await self._stream(camera, receive, send)
        finally:
            self._viewers -= 1

    def _refusal(self, camera: str) -> Response | None:
        if not self._has_camera(camera):
            return PlainTextResponse(f"no camera {camera!r}\n", status_code=404)
        if self._board.newest(camera) is None:
            return PlainTextResponse("no frame yet\n", status_code=503)
        if self._viewers >= _MAX_VIEWERS:
            return PlainTextResponse(f"{_MAX_VIEWERS} viewers already watch\n", status_code=503)
        return None

    async def _stream(self, camera: str, receive: Receive, send: Send) -> None:
        """Send until one of the three ends comes; an error in the sending is raised."""
        sending = asyncio.ensure_future(self._send_parts(camera, send))
        ends = {
            sending,
            asyncio.ensure_future(_disconnected(receive)),
            asyncio.ensure_future(self._stopping.wait()),
        }
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        if not sending.cancelled():
            sending.result()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_parts(self, camera: str, send: Send) -> None:
        loop = asyncio.get_running_loop()
        head = [(b"content-type", _MEDIA_TYPE)]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        opening = b"--" + _BOUNDARY + b"\r\n"
        await send({"type": "http.response.body", "body": opening, "more_body": True})
        shown: int | None = None
        while True:
            not_before = loop.time() + 1 / _MAX_FPS
            if await self._board.wait_newer(camera, shown, _REPEAT_S) is None:
                return
            picture = await loop.run_in_executor(self._drawing, self._board.picture, camera)
            if picture is None:
                return
            shown = picture.frame_id
            await send({"type": "http.response.body", "body": _part(picture), "more_body": True})
            await asyncio.sleep(not_before - loop.time())


def _part(picture: Picture) -> bytes:
    head = (
        f"Content-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n"
        f"X-Frame-Id: {picture.frame_id}\r\nX-Captured-At: {picture.captured_at.rfc3339()}\r\n\r\n"
    )
    # The boundary that closes a part comes with it and not before the next one: browsers show a
    # picture when they have seen its end.
    return head.encode() + picture.jpeg + b"\r\n--" + _BOUNDARY + b"\r\n"


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
