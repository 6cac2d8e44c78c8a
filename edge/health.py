"""How the daemon is doing: for health routes, page, watchdog and systemd's status line."""

from collections.abc import Callable, Mapping

from edge.camera_group import CameraGroup
from edge.capture.camera import Camera
from edge.clock import Clock
from edge.http.health import CameraView, NodeView
from edge.rates import RateMeter
from edge.version import __version__

STALLED_AFTER_S = 20.0  # no turn of a loop takes so long, unless it hangs


class DaemonHealth:
    """Built before the model loads. The main thread calls ``begin``, once, and sets the rest.

    ``model`` is its name; ``refused_reload``: the configuration file is not what is in force.
    """

    def __init__(
        self,
        node: str,
        cameras: CameraGroup,
        clock: Clock,
        mqtt_connected: Callable[[], bool],
        throttled: Callable[[], str] = lambda: "",
    ) -> None:
        """``throttled`` says why fewer frames are inferred than could be, or is empty."""
        self._throttled = throttled
        self._node, self._cameras, self._clock = node, cameras, clock
        self._mqtt_connected = mqtt_connected
        self._started_s = clock.uptime_s()
        self.model: str | None = None
        self.refused_reload = False
        self._last_turns: Mapping[str, Callable[[], float]] = {}
        self._rates: Callable[[], Mapping[str, RateMeter]] = dict

    def begin(
        self,
        last_turns: Mapping[str, Callable[[], float]],
        rates: Callable[[], Mapping[str, RateMeter]],
    ) -> None:
        """The model is warm. ``last_turns``: by loop, when its last turn ended
        (``Clock.uptime_s``); ``rates`` by camera, those that there are now.
        """
        self._last_turns, self._rates = last_turns, rates

    def live(self) -> tuple[bool, Mapping[str, object]]:
        if self.model is None:
            return True, {"state": "loading"}
        now_s = self._clock.uptime_s()
        for loop, last_turn in self._last_turns.items():
            idle_s = now_s - last_turn()
            if idle_s > STALLED_AFTER_S:
                return False, {"reason": f"the {loop} loop has not turned for {idle_s:.0f} s"}
        return True, {"state": "running"}

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        if self.model is None:
            return False, {"reason": "the model is loading"}
        live, details = self.live()
        if not live:
            return False, details
        now_s = self._clock.uptime_s()
        states = {camera.id: camera.state(now_s) for camera in self._cameras.current}
        kinds = set(states.values())
        if kinds == {"disabled"}:
            return False, {"reason": "every camera is switched off", "cameras": states}
        if not kinds & {"online", "degraded"}:
            return False, {"reason": "no camera delivers frames", "cameras": states}
        return True, {"cameras": states}

    def cameras(self) -> list[CameraView]:
        now_s = self._clock.uptime_s()
        return [self._view(camera, now_s) for camera in self._cameras.current]

    def _view(self, camera: Camera, now_s: float) -> CameraView:
        last_s = camera.last_frame_uptime_s
        rate = self._rates().get(camera.id)
        return CameraView(
            id=camera.id,
            state=(state := camera.state(now_s)),
            reason=(camera.degraded if state == "degraded" else camera.reason) or None,
            source=str(camera.settings.source),
            decoder=camera.decoder or None,
            fps=0.0 if rate is None else rate.per_second(now_s),
            age_s=None if last_s is None else now_s - last_s,
            size=None if camera.size is None else (camera.size[1], camera.size[0]),
        )

    def page(self) -> NodeView:
        now_s = self._clock.uptime_s()
        return NodeView(
            node=self._node,
            version=__version__,
            model=self.model,
            uptime_s=now_s - self._started_s,
            mqtt_connected=self._mqtt_connected(),
            inference_fps=self._inference_fps(now_s),
        )

    def status_line(self) -> str:
        """One line for ``systemctl status``."""
        if self.model is None:
            return "loading the model"
        now_s = self._clock.uptime_s()
        states = [camera.state(now_s) for camera in self._cameras.current]
        off = states.count("disabled")
        up, degraded = states.count("online"), states.count("degraded")
        cameras = f"cameras {up + degraded}/{len(states) - off} up"
        if degraded:
            cameras += f" ({degraded} degraded)"
        if off:
            cameras += f" ({off} switched off)"
        broker = "connected" if self._mqtt_connected() else "away"
        line = f"{cameras}, {self._inference_fps(now_s):.1f} frames/s, broker {broker}"
        if self.refused_reload:
            line += "; the last reload was refused, see the log"
        throttled = self._throttled()
        return f"{line}; {throttled}" if throttled else line

    def _inference_fps(self, now_s: float) -> float:
        """Over all cameras."""
        return sum(rate.per_second(now_s) for rate in self._rates().values())
