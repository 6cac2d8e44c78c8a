"""The page's first HTML, and the state that it starts from and asks for again."""

import json
from html import escape
from importlib import resources
from string import Template
from urllib.parse import quote

from edge.http.board import PictureBoard
from edge.http.health import CameraView, Health

_PAGE = resources.files("edge.http.page")
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def state(health: Health, board: PictureBoard) -> dict[str, object]:
    """What the page shows, as JSON can carry it: the node, whether it is ready, its cameras."""
    ready, details = health.ready()
    node = health.page()
    return {
        "node": node.node,
        "version": node.version,
        "model": node.model,
        "uptime_s": node.uptime_s,
        "mqtt_connected": node.mqtt_connected,
        "inference_fps": node.inference_fps,
        "ready": ready,
        "reason": None if ready else details.get("reason"),
        "cameras": [_camera_state(view, board) for view in health.cameras()],
    }


def _camera_state(view: CameraView, board: PictureBoard) -> dict[str, object]:
    newest = board.newest(view.id)
    return {
        "id": view.id,
        "state": view.state,
        "reason": view.reason,
        "source": view.source,
        "decoder": view.decoder,
        "fps": view.fps,
        "age_s": view.age_s,
        "size": view.size,
        "frame_id": None if newest is None else newest.frame.id,
        "counts": {} if newest is None else newest.counts,
    }


class Page:
    """The page's files, read once."""

    def __init__(self) -> None:
        self._index = Template((_PAGE / "index.html").read_text(encoding="utf-8"))
        self._card = Template((_PAGE / "card.html").read_text(encoding="utf-8"))
        self._static = {
            file.name: (file.read_bytes(), media_type)
            for file in _PAGE.iterdir()
            for ending, media_type in _MEDIA_TYPES.items()
            if file.name.endswith(ending)
        }

    def static(self, name: str) -> tuple[bytes, str] | None:
        """A file's bytes and media type; None where the page has no such file."""
        return self._static.get(name)

    def html(self, health: Health, board: PictureBoard) -> str:
        """The page, with the newest picture of each camera even where no script runs."""
        cards = [self._card_html(view, board) for view in health.cameras()]
        # In a script element only "<" could end it early; escaped so, it is the same JSON.
        first_state = json.dumps(state(health, board), allow_nan=False).replace("<", "\\u003c")
        return self._index.substitute(
            node=escape(health.page().node), cards="".join(cards), state=first_state
        )

    def _card_html(self, view: CameraView, board: PictureBoard) -> str:
        path = escape(quote(view.id, safe=""))
        src = "" if board.newest(view.id) is None else f'src="cameras/{path}/snapshot.jpg"'
        return self._card.substitute(
            id=escape(view.id), path=path, src=src, state=escape(view.state)
        )
