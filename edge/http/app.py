"""The routes: health, metrics, the page and the cameras' pictures."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edge.http.auth import Credentials
from edge.http.board import PictureBoard
from edge.http.guard import Guard
from edge.http.health import Health
from edge.http.index import Page, state
from edge.http.mjpeg import MjpegStreams
from edge.metrics import Metrics


def create_app(
    health: Health,
    board: PictureBoard,
    metrics: Metrics,
    credentials: Credentials,
    *,
    loopback_names_only: bool,
    worker: Executor,
    stopping: asyncio.Event,
) -> ASGIApp:
    """The ASGI app.

    What takes longer than a moment (drawing a picture, collecting the metrics) runs in ``worker``;
    the event loop stays free, so that ``/livez`` answers whatever else is asked. Setting
    ``stopping`` in the event loop ends all open streams.
    """
    page = Page()

    def has_camera(camera: str) -> bool:
        return any(view.id == camera for view in health.cameras())

    async def livez(_: Request) -> Response:
        return _health_answer(*health.live())

    async def readyz(_: Request) -> Response:
        return _health_answer(*health.ready())

    async def metrics_text(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(worker, encode, metrics.registry)
        return Response(text, headers={"Content-Type": content_type})

    async def index(_: Request) -> Response:
        return HTMLResponse(page.html(health, board))

    async def static(request: Request) -> Response:
        file = page.static(request.path_params["name"])
        if file is None:
            raise HTTPException(404, "no such file\n")
        content, media_type = file
        return Response(content, media_type=media_type)

    async def cameras(_: Request) -> Response:
        return JSONResponse(state(health, board))

    async def snapshot(request: Request) -> Response:
        camera = request.path_params["camera"]
        if not has_camera(camera):
            raise HTTPException(404, f"no camera {camera!r}\n")
        picture = await asyncio.get_running_loop().run_in_executor(worker, board.picture, camera)
        if picture is None:
            raise HTTPException(503, "no frame yet\n")
        return Response(
            picture.jpeg,
            media_type="image/jpeg",
            headers={
                "X-Frame-Id": str(picture.frame_id),
                "X-Captured-At": picture.captured_at.rfc3339(),
            },
        )

    streams = MjpegStreams(board, has_camera, worker, stopping)
    routes = [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", metrics_text),
        Route("/", index),
        Route("/static/{name}", static),
        Route("/cameras", cameras),
        Route("/cameras/{camera}/snapshot.jpg", snapshot),
        Route("/cameras/{camera}/stream.mjpg", streams, methods=["GET", "HEAD"]),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return Guard(app, credentials, loopback_names_only=loopback_names_only)


def _health_answer(well: bool, details: Mapping[str, object]) -> Response:
    return JSONResponse(dict(details), status_code=200 if well else 503)
