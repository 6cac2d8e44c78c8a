"""The Prometheus metrics, by name. Each is written by the part that knows, through this object."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

_MS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)
DROP_REASONS = ("overwritten", "stale", "rate", "disabled", "error", "shutdown")
SPOOL_DROP_REASONS = ("overflow", "age", "memory", "corrupt")
STAGES = ("preprocess", "forward", "postprocess", "summarise", "publish")


class Metrics:
    """All metrics of one process, in a registry of its own (a test makes one a test)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # a twin of each counter that no dashboard asks for
        self.registry = r = registry or CollectorRegistry()
        n = "rfdetr_edge_"
        self.frames_captured = Counter(
            n + "frames_captured", "Frames grabbed from the camera", ["camera"], registry=r
        )
        self.frames_inferred = Counter(
            n + "frames_inferred", "Frames that went through the network", ["camera"], registry=r
        )
        self.frames_dropped = Counter(
            n + "frames_dropped",
            "Captured frames that were not inferred",
            ["camera", "reason"],
            registry=r,
        )
        self.camera_up = Gauge(
            n + "camera_up", "1 while the camera delivers frames", ["camera"], registry=r
        )
        self.camera_reconnects = Counter(
            n + "camera_reconnects",
            "Attempts to open the camera again after it failed",
            ["camera"],
            registry=r,
        )
        self.camera_info = Gauge(
            n + "camera_info",
            "What decodes the camera's pictures, since it was last opened",
            ["camera", "decoder"],
            registry=r,
        )
        self.last_frame_timestamp = Gauge(
            n + "last_frame_timestamp_seconds",
            "Unix time of the newest captured frame",
            ["camera"],
            registry=r,
        )
        self.frame_age = Histogram(
            n + "frame_age_seconds",
            "Age of a frame when its inference starts",
            ["camera"],
            buckets=_MS,
            registry=r,
        )
        self.stage = Histogram(
            n + "stage_seconds",
            "Time one frame spends in a stage",
            ["stage"],
            buckets=_MS,
            registry=r,
        )
        self.capture_to_publish = Histogram(
            n + "capture_to_publish_seconds",
            "From the capture of a frame to its message being handed to the MQTT client",
            ["camera"],
            buckets=_MS,
            registry=r,
        )
        self.publish_to_ack = Histogram(
            n + "publish_to_ack_seconds",
            "From publishing a QoS 1 message to the broker's acknowledgement",
            buckets=_MS,
            registry=r,
        )
        self.detections = Counter(
            n + "detections", "Detected objects", ["camera", "label"], registry=r
        )
        self.mqtt_connected = Gauge(
            n + "mqtt_connected", "1 while connected to the broker", registry=r
        )
        self.mqtt_messages = Counter(
            n + "mqtt_messages", "Messages handed to the MQTT client", ["kind"], registry=r
        )
        self.mqtt_dropped = Counter(
            n + "mqtt_dropped",
            "Messages not handed to the MQTT client: not connected, or the broker too far behind",
            ["kind"],
            registry=r,
        )
        self.spool_messages = Gauge(
            n + "spool_messages", "Events that wait for the broker", registry=r
        )
        self.spool_bytes = Gauge(
            n + "spool_bytes", "Size of the events that wait for the broker", registry=r
        )
        self.spool_dropped = Counter(
            n + "spool_dropped",
            "Events dropped before the broker had them",
            ["reason"],
            registry=r,
        )
        for reason in SPOOL_DROP_REASONS:
            self.spool_dropped.labels(reason)
        self.spool_faults = Counter(
            n + "spool_faults",
            "Spool files set aside, and failed attempts at a disk that does not work",
            ["kind"],
            registry=r,
        )
        for kind in ("corrupt", "disk"):
            self.spool_faults.labels(kind)
        self.model_info = Gauge(
            n + "model_info",
            "The model in use",
            ["model", "sha256", "device", "precision"],
            registry=r,
        )
        self.build_info = Gauge(
            n + "build_info", "Versions of this build", ["version", "torch", "python"], registry=r
        )
        self.config_reload_successful = Gauge(
            n + "config_last_reload_successful",
            "1 where the configuration file was taken over when it was last read, 0 where refused",
            registry=r,
        )
        self.config_reload_time = Gauge(
            n + "config_last_reload_success_timestamp_seconds",
            "Unix time at which a configuration was last taken over",
            registry=r,
        )

    def add_camera(self, camera: str) -> None:
        """Create the camera's series at 0, so that a first increase is visible to ``rate()``."""
        self.frames_captured.labels(camera)
        self.frames_inferred.labels(camera)
        for reason in DROP_REASONS:
            self.frames_dropped.labels(camera, reason)
        self.camera_up.labels(camera).set(0)
        self.camera_reconnects.labels(camera)
        self.frame_age.labels(camera)
        self.capture_to_publish.labels(camera)

    def remove_camera(self, camera: str) -> None:
        """Drop the series of a camera that has left: what stands still is to alarm nobody."""
        for metric in (
            *(self.frames_captured, self.frames_inferred, self.frames_dropped, self.camera_up),
            *(self.camera_reconnects, self.last_frame_timestamp, self.frame_age),
            *(self.capture_to_publish, self.detections, self.camera_info),
        ):
            metric.remove_by_labels({"camera": camera})
