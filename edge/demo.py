"""``rfdetr-edge demo``: the daemon on embedded defaults, with a broker of its own."""

import os
import socket
import tempfile
from importlib import resources

from edge.stop import StopRequest

MQTT_PORT, HTTP_PORT = 1883, 8080


def run_demo(stop: StopRequest) -> int:
    """Run until ``stop``; prints where to look as soon as broker and page listen."""
    from edge.config import load_config
    from edge.daemon import Daemon
    from edge.demo_broker import DemoBroker
    from edge.logs import configure

    with (
        tempfile.TemporaryDirectory(prefix="rfdetr-edge-demo-") as state_dir,
        resources.as_file(resources.files("edge.data") / "demo.yaml") as file,
    ):
        environ = {**os.environ, "STATE_DIRECTORY": state_dir}
        config = load_config(file, environ).config
        configure(config.log.level, config.log.format)
        broker = DemoBroker(MQTT_PORT)
        mqtt_port = broker.start()
        http_port = free_port(HTTP_PORT)
        config = config.model_copy(
            update={
                "mqtt": config.mqtt.model_copy(update={"port": mqtt_port}),
                "http": config.http.model_copy(update={"port": http_port}),
            }
        )
        print(_where_to_look(config.mqtt.base_topic, mqtt_port, http_port), flush=True)
        try:
            return Daemon(config, "demo.yaml", stop).run()
        finally:
            broker.stop()


def free_port(first: int) -> int:
    """The first TCP port on loopback from ``first`` on that nobody listens on."""
    for port in range(first, 65536):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port from {first} on")


def _where_to_look(base_topic: str, mqtt_port: int, http_port: int) -> str:
    return (
        "\n"
        "  A synthetic camera, a small trained model, a broker of our own. Look here:\n"
        f"    page      http://127.0.0.1:{http_port}/\n"
        f"    messages  mosquitto_sub -h 127.0.0.1 -p {mqtt_port} -t '{base_topic}/#' -v\n"
        f"    events    mosquitto_sub -h 127.0.0.1 -p {mqtt_port} -t '{base_topic}/+/+/events'\n"
        f"    metrics   http://127.0.0.1:{http_port}/metrics\n"
        "  Stop with Ctrl-C.\n"
    )
