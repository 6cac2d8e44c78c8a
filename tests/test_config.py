"""The configuration file: how it is read, each rule's exact line, defaults, warnings, examples."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.capture.address import FileAddress, GstreamerAddress, RtspAddress, ShapesAddress
from edge.config import (
    Config,
    ConfigError,
    Loaded,
    MqttSettings,
    TlsSettings,
    load_config,
    read_secret,
)
from edge.config_file import key_text
from edge.config_problems import all_keys

ROOT = Path(__file__).parent.parent
GOOD = """\
model: {id: rfdetr-seg-preview}
cameras: [{id: dock, source: "shapes:"}]
"""


class Site:
    """A folder with ``site.yaml`` in it, loaded from inside that folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, text: str, environ: Mapping[str, str] | None = None) -> Loaded:
        (self.folder / "site.yaml").write_text(text)
        return load_config(
            Path("site.yaml"), {"HOME": "/home/ed", **(environ or {})}, "Dock7.Local"
        )

    def config(self, text: str, **environ: str) -> Config:
        return self.load(text, environ).config

    def problems(self, text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            self.load(text, environ)
        assert str(raised.value) == "\n".join(raised.value.problems)
        return raised.value.problems

    def problem(self, text: str, **environ: str) -> str:
        (line,) = self.problems(text, **environ)
        return line.removeprefix("site.yaml: ")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    return Site(tmp_path)


def with_camera(more: str, source: str = "shapes:") -> str:
    camera = f'{{id: dock, source: "{source}", {more}}}'
    return f"model: {{id: rfdetr-seg-preview}}\ncameras: [{camera}]\n"


# What is not even a mapping


def test_missing_file(site: Site) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(Path("etc/nope.yaml"), {})
    assert raised.value.problems == ["etc/nope.yaml: no such file"]


def test_folder_instead_of_file(site: Site) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(site.folder, {})
    assert raised.value.problems == [f"{site.folder}: cannot be read: Is a directory"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "is empty"),
        ("# nothing but this\n", "is empty"),
        ("- a\n- b\n", "must be a mapping of keys to values, like `model:` and `cameras:`"),
        ("dock\n", "must be a mapping of keys to values, like `model:` and `cameras:`"),
        (
            "node: a\nmodel: b: c\n",
            "line 2, column 9: not valid YAML: mapping values are not allowed here",
        ),
        (
            "node:\n\tdock\n",
            "line 2, column 1: not valid YAML: found character '\\t' that cannot start any token",
        ),
        (
            "node: d\x07ck\n",
            "line 1, column 8: not valid YAML: a character that may not stand there",
        ),
        (
            "cameras:\n- {id: a, source: rtsp://u:${PASSWORD}@h/x}\n",
            "line 2, column 39: not valid YAML: found character '@' that cannot start any token "
            "(inside { } and [ ] a value with ${NAME} needs quotes)",
        ),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: not valid YAML: but found another document"),
        (
            "cameras:\n- id: a\n  source: shapes:\n",
            "line 3, column 17: not valid YAML: mapping values are not allowed here "
            "(a value with a : at its end needs quotes)",
        ),
        (
            "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(
                f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n"
                for old, new in zip("abcdefg", "bcdefgh", strict=True)
            ),
            "has more than 100000 values",
        ),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_yaml_mapping_gets_one_sentence(site: Site, text: str, line: str) -> None:
    assert site.problem(text) == line


def test_not_utf8(site: Site) -> None:
    (site.folder / "latin.yaml").write_bytes(b"node: d\xf6ck\n")
    with pytest.raises(ConfigError) as raised:
        load_config(Path("latin.yaml"), {})
    assert raised.value.problems == ["latin.yaml: is not UTF-8 text"]


# YAML's traps


def test_values_are_what_their_key_says(site: Site) -> None:
    text = """\
node: on
model: {path: 007, labels: [no, 12e1, 2026-01-01, null_]}
cameras: [{id: 7, source: "shapes:"}, {id: no, source: "shapes:"}]
mqtt: {port: "8883", home_assistant: {enabled: yes}}
"""
    (site.folder / "007").touch()
    config = site.config(text)
    assert config.node == "on"
    assert config.model.path == site.folder / "007"
    assert config.model.labels == ["no", "12e1", "2026-01-01", "null_"]
    assert [camera.id for camera in config.cameras] == ["7", "no"]
    assert config.mqtt.port == 8883
    assert config.mqtt.home_assistant.enabled is True


def test_duplicate_keys_are_refused_with_their_path(site: Site) -> None:
    text = GOOD + "mqtt:\n  port: 1\n  host: a\n  port: 2\nmodel: {id: rfdetr-seg-nano}\n"
    assert site.problems(text) == [
        "site.yaml: model: is given twice, in lines 1 and 7",
        "site.yaml: mqtt.port: is given twice, in lines 4 and 6",
    ]


def test_merged_keys_give_way_to_written_ones(site: Site) -> None:
    text = """\
model: {id: rfdetr-seg-preview}
cameras:
  - &usual {id: one, source: "shapes:", max_fps: 5, transport: udp}
  - {<<: *usual, id: two, max_fps: 2}
"""
    one, two = site.config(text).cameras
    assert (one.id, one.max_fps, one.transport) == ("one", 5, "udp")
    assert (two.id, two.max_fps, two.transport) == ("two", 2, "udp")


def test_unknown_tags_and_loops_are_refused(site: Site) -> None:
    assert site.problem(GOOD + "mqtt: {username: !secret mqtt_user}") == (
        "mqtt.username: has a tag that means nothing here: !secret"
    )
    assert site.problem(with_camera("classes: &a [*a]")) == (
        "cameras[0].classes[0]: contains itself"
    )


def test_keys_that_are_no_text_and_merges_of_no_mapping_are_refused(site: Site) -> None:
    text = GOOD + "? [a]\n: ${HOME}\nmqtt: {<<: host, username: '${HOME}'}\n"
    assert site.problems(text) == [
        "site.yaml: has a key that is not plain text",
        "site.yaml: mqtt: has a << that does not name another mapping",
    ]


def test_a_key_without_a_value_counts_as_left_out(site: Site) -> None:
    config = site.config(GOOD + "node:\nmqtt:\nhttp:\n  port:\nlog: {level: null}\n")
    assert (config.node, config.mqtt.port, config.http.port) == ("dock7-local", 1883, 8080)
    assert config.log.level == "info"


# Variables


def test_variables_are_replaced_in_values_and_not_in_keys(site: Site) -> None:
    text = with_camera("classes: ['$${A}', 'a-${A}-b', $A]") + "mqtt:\n  port: ${PORT}\n"
    config = site.config(text, A="x", PORT="8883")
    assert config.cameras[0].classes == ["${A}", "a-x-b", "$A"]
    assert config.mqtt.port == 8883
    assert site.problem(GOOD + "${A}: 1", A="node") == "${A}: unknown key"


def test_replaced_text_is_not_replaced_again(site: Site) -> None:
    assert site.config(GOOD + "mqtt: {username: '${A}'}", A="$$${B}").mqtt.username == "$$${B}"


def test_unset_variables_are_named_with_their_key(site: Site) -> None:
    text = with_camera("max_fps: '${FPS}'", "rtsp://${WHO}:${PASSWORD}@h/x")
    assert site.problems(text) == [
        "site.yaml: cameras[0].source: the environment variable WHO is not set",
        "site.yaml: cameras[0].source: the environment variable PASSWORD is not set",
        "site.yaml: cameras[0].max_fps: the environment variable FPS is not set",
    ]


@pytest.mark.parametrize("broken", ["${", "${}", "${A", "${A-B}", "${A:-default}", "${1}"])
def test_malformed_variables_are_refused(site: Site, broken: str) -> None:
    assert site.problem(GOOD + f"mqtt: {{username: '{broken}'}}", A="x") == (
        "mqtt.username: has a ${ that is not of the form ${NAME}; a dollar sign is $$"
    )


def test_variables_are_encoded_inside_a_urls_credentials_only(site: Site) -> None:
    text = with_camera("max_fps: 1", "rtsp://${A}:x${A}@${HOST}/${A}?k=${A}")
    source = site.config(text, A="a%&", HOST="h:554").cameras[0].source
    assert source == RtspAddress("rtsp://a%25%26:xa%25%26@h:554/a%&?k=a%&")
    text = with_camera("max_fps: 1", "gstreamer:rtspsrc location=rtsp://u:${A}@h/${A} user-pw=${A}")
    source = site.config(text, A="a%&").cameras[0].source
    assert source == GstreamerAddress("rtspsrc location=rtsp://u:a%25%26@h/a%& user-pw=a%&")


def test_a_whole_source_from_a_variable_is_taken_as_it_is(site: Site) -> None:
    source = site.config(with_camera("max_fps: 1", "${SOURCE}"), SOURCE="rtsp://u:%40@h/x")
    assert source.cameras[0].source == RtspAddress("rtsp://u:%40@h/x")


def test_a_password_from_a_variable_may_hold_anything(site: Site) -> None:
    text = with_camera("max_fps: 1", "rtsp://user:${PASSWORD}@h:554/x")
    source = site.config(text, PASSWORD="p/@:?#% ä").cameras[0].source
    assert source == RtspAddress("rtsp://user:p%2F%40%3A%3F%23%25%20%C3%A4@h:554/x")


def test_what_a_variable_holds_is_in_no_message(site: Site) -> None:
    text = """\
model: {path: "models/${A}", type: "${A}", labels: ["${A}", "${A}"], device: "${A}"}
cameras:
  - {id: "${A}", source: "${A}", transport: "${A}", max_fps: "${A}", snapshot: "${A}"}
  - {id: a, source: "${A}://h/x"}
  - {id: b, source: "usb:0?${A}=1"}
  - {id: c, source: "rtsp://h:${A}/x"}
mqtt: {host: "${A}/", port: "${A}", tls: "${A}", password_file: "${A}/mqtt", base_topic: "${A}#"}
"""
    problems = site.problems(text, A="hunter2")
    assert "hunter2" not in "".join(problems)
    assert len(problems) == 16
    assert "site.yaml: model.path: no such file: 'models/${A}'" in problems
    assert "site.yaml: model.labels: names '***' more than once" in problems
    assert "site.yaml: mqtt.password_file: no such file: '${A}/mqtt'" in problems


def test_a_message_still_quotes_what_stands_in_the_file(site: Site) -> None:
    text = with_camera("max_fps: 1", "rstp://user:${PASSWORD}@h/x")
    assert site.problem(text, PASSWORD="stp") == (
        "cameras[0].source: unknown scheme 'rstp' (did you mean 'rtsp'?)"
    )


# Problems: all at once, each a line


def test_all_problems_in_one_go_in_the_order_of_the_file(site: Site) -> None:
    text = """\
log: {level: INFO}
modle: {}
model: {id: rfdetr-seg-previw, confidense: 0.4}
cameras:
  - {id: dock, sorce: "shapes:"}
  - {id: dock, source: "rstp://u:p@h/x", zones: [{id: a, poligon: []}, {id: a}]}
mqtt: {port: 99999, home_assistant: {enable: true}, port: 1}
"""
    preview = "rfdetr-seg-preview"
    assert site.problems(text) == [
        "site.yaml: log.level: must be one of debug, info, warning, error (did you mean 'info'?)",
        "site.yaml: modle: unknown key (did you mean 'model'?)",
        f"site.yaml: model.id: must be one of {preview}, rfdetr-seg-nano, rfdetr-seg-small, "
        "rfdetr-seg-medium, rfdetr-seg-large, rfdetr-seg-xlarge, rfdetr-seg-2xlarge, "
        f"rfdetr-seg-demo (did you mean '{preview}'?)",
        "site.yaml: model.confidense: unknown key (did you mean 'confidence'?)",
        "site.yaml: cameras[0].source: is required",
        "site.yaml: cameras[0].sorce: unknown key (did you mean 'source'?)",
        "site.yaml: cameras[1].id: is the id of cameras[0] already",
        "site.yaml: cameras[1].source: unknown scheme 'rstp' (did you mean 'rtsp'?)",
        "site.yaml: cameras[1].zones[0].polygon: is required",
        "site.yaml: cameras[1].zones[0].poligon: unknown key (did you mean 'polygon'?)",
        "site.yaml: cameras[1].zones[1].polygon: is required",
        "site.yaml: cameras[1].zones[1].id: is the id of zones[0] already",
        "site.yaml: mqtt.port: is given twice, in lines 7 and 7",
        "site.yaml: mqtt.port: must be at most 65535",
        "site.yaml: mqtt.home_assistant.enable: unknown key (did you mean 'enabled'?)",
    ]


def test_a_key_in_the_wrong_section_is_sent_to_the_right_one(site: Site) -> None:
    assert site.problem(with_camera("confidence: 0.4")) == (
        "cameras[0].confidence: unknown key (did you mean 'model.confidence'?)"
    )
    assert (
        site.problem(GOOD + "zones: []") == "zones: unknown key (did you mean 'cameras[].zones'?)"
    )


def test_the_file_is_named_as_it_was_given(site: Site) -> None:
    (site.folder / "a").mkdir()
    (site.folder / "a" / "b.yaml").write_text(GOOD + "x: 1")
    with pytest.raises(ConfigError) as raised:
        load_config(Path("a/b.yaml"), {})
    assert raised.value.problems == ["a/b.yaml: x: unknown key"]


def test_a_problem_is_one_printable_line(site: Site) -> None:
    assert site.problem(GOOD + '"a\\n\\e[31m": 1') == "a\ufffd\ufffd[31m: unknown key"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("node: x", ["model: is required", "cameras: is required"]),
        (
            "model: []\ncameras: 3",
            ["model: must be a mapping of keys to values", "cameras: must be a list"],
        ),
        (
            "model: {}\ncameras: []",
            ["model.path: either id or path is required", "cameras: must not be empty"],
        ),
        (
            "model: {id: rfdetr-seg-nano}\ncameras: [null, x]",
            [
                "cameras[0]: must be a mapping of keys to values",
                "cameras[1]: must be a mapping of keys to values",
            ],
        ),
    ],
)
def test_sections_of_the_wrong_kind(site: Site, text: str, lines: list[str]) -> None:
    assert site.problems(text) == [f"site.yaml: {line}" for line in lines]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ("id: rfdetr-seg-nano, path: here.pth", "path: cannot stand beside id"),
        ("path: nope.pth", "path: no such file: '{folder}/nope.pth'"),
        ("path: ..", "path: is not a file: '{folder}/..'"),
        ("path: []", "path: must be text"),
        ("path: ''", "path: must be a path"),
        (
            "path: here.pth, type: rfdetr-seg-nanno",
            "type: must be one of rfdetr-seg-preview, rfdetr-seg-nano, rfdetr-seg-small, "
            "rfdetr-seg-medium, rfdetr-seg-large, rfdetr-seg-xlarge, rfdetr-seg-2xlarge, "
            "rfdetr-seg-demo (did you mean 'rfdetr-seg-nano'?)",
        ),
        ("id: rfdetr-seg-nano, type: rfdetr-seg-large", "type: contradicts id (leave it out)"),
        ("path: here.pth, labels: bolt", "labels: must be coco or a list of names"),
        (
            "path: here.pth, labels: coc0",
            "labels: must be coco or a list of names (did you mean 'coco'?)",
        ),
        ("path: here.pth, labels: {a: 1}", "labels: must be coco or a list of names"),
        ("path: here.pth, labels: []", "labels: must not be empty"),
        ("path: here.pth, labels: [bolt, ' ']", "labels[1]: must not be blank"),
        ("path: here.pth, labels: [bolt, [nut]]", "labels[1]: must be text"),
        ("path: here.pth, labels: [nut, bolt, nut]", "labels: names 'nut' more than once"),
        ("path: here.pth, confidence: high", "confidence: must be a number"),
        ("path: here.pth, confidence: true", "confidence: must be a number"),
        ("path: here.pth, confidence: 1.1", "confidence: must be at most 1"),
        ("path: here.pth, confidence: -0.1", "confidence: must be at least 0"),
        ("path: here.pth, confidence: nan", "confidence: must be a finite number"),
        ("path: here.pth, confidence: {person: 2}", "confidence.person: must be at most 1"),
        (
            "path: here.pth, confidence: [0.5]",
            "confidence: must be a number, or a mapping of labels to numbers",
        ),
        (
            "path: here.pth, device: coda:1",
            "device: must be auto, cuda, cuda:N or cpu (did you mean 'cuda'?)",
        ),
        (
            "path: here.pth, device: 'cuda:'",
            "device: must be auto, cuda, cuda:N or cpu (did you mean 'cuda'?)",
        ),
        (
            "path: here.pth, precision: fp61",
            "precision: must be one of auto, fp16, bf16, fp32 (did you mean 'fp16'?)",
        ),
        ("path: here.pth, max_detections: 0", "max_detections: must be at least 1"),
        ("path: here.pth, max_detections: 1.5", "max_detections: must be a whole number"),
        ("path: here.pth, max_detections: true", "max_detections: must be a whole number"),
    ],
)
def test_rules_of_the_model(site: Site, settings: str, line: str) -> None:
    (site.folder / "here.pth").touch()
    text = f"model: {{{settings}}}\ncameras: [{{id: dock, source: 'shapes:'}}]"
    assert site.problem(text) == "model." + line.format(folder=site.folder)


POLYGON = "polygon: [[0, 0], [1, 0], [1, 1]]"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            "transport: http",
            "transport: must be one of tcp, udp",
        ),
        (
            "decoder: nvida",
            "decoder: must be one of auto, software, nvidia (did you mean 'nvidia'?)",
        ),
        ("open_timeout_s: 0", "open_timeout_s: must be greater than 0"),
        ("read_timeout_s: 31", "read_timeout_s: must be at most 30"),
        ("max_fps: 0", "max_fps: must be greater than 0"),
        ("max_fps: .inf", "max_fps: must be a number"),
        ("max_fps: inf", "max_fps: must be a finite number"),
        ("frame_max_fps: -1", "frame_max_fps: must be greater than 0"),
        ("max_frame_age_ms: soon", "max_frame_age_ms: must be a number"),
        ("classes: person", "classes: must be a list"),
        ("classes: []", "classes: must not be empty"),
        ("min_area_fraction: 2", "min_area_fraction: must be at most 1"),
        ("ignore: [[[0, 0], [1, 1]]]", "ignore[0]: must have at least 3 entries"),
        ("ignore: [[[0, 0], [1, 1], [2, 0]]]", "ignore[0][2][0]: must be at most 1"),
        ("ignore: [[[0, 0], [1, 1], [1]]]", "ignore[0][2]: must be a point, [x, y]"),
        ("ignore: [[[0, 0], [1, 1], [1, 0, 0]]]", "ignore[0][2]: must be a point, [x, y]"),
        ("ignore: [[[0, 0], [1, 1], 5]]", "ignore[0][2]: must be a point, [x, y]"),
        (
            "ignore: [[[0.1, 0.1], [0.3, 0.3], [0.2, 0.2], [0.3, 0.3]]]",
            "ignore[0]: encloses no area: all its points lie on one line",
        ),
        (
            "ignore: [[[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]]",
            "ignore[0]: encloses no area: all its points lie on one line",
        ),
        (
            f"zones: [{{id: Bay, {POLYGON}}}]",
            "zones[0].id: may consist of a-z, 0-9, _ and - only",
        ),
        (
            f"zones: [{{id: bay, {POLYGON}}}, {{id: gate, {POLYGON}}}, {{id: bay, {POLYGON}}}]",
            "zones[2].id: is the id of zones[0] already",
        ),
        (
            f"zones: [{{id: bay, {POLYGON}, min_overlap: 0.2, hysteresis: 0.3}}]",
            "zones[0].hysteresis: must not be greater than min_overlap",
        ),
        (f"zones: [{{id: bay, {POLYGON}, dwell_s: -1}}]", "zones[0].dwell_s: must be at least 0"),
        ("lines: [{id: gate, to: [0, 0]}]", "lines[0].from: is required"),
        (
            "lines: [{id: gate, from: [0.5, 0], to: [0.50, 0]}]",
            "lines[0].to: must be another point than from",
        ),
        (
            "lines: [{id: gate, form: [0, 0], from: [0, 0], to: [0, 1]}]",
            "lines[0].form: unknown key (did you mean 'from'?)",
        ),
        (
            "frames: change",
            "frames: must be one of all, changes, off (did you mean 'changes'?)",
        ),
        (
            "geometry: poligon",
            "geometry: must be one of none, polygon, rle, both (did you mean 'polygon'?)",
        ),
        (
            "snapshot: event",
            "snapshot: must be none, events or a period in seconds (did you mean 'events'?)",
        ),
        ("snapshot: [1]", "snapshot: must be none, events or a period in seconds"),
        ("snapshot: 0", "snapshot: must be a period of more than 0 seconds"),
        ("snapshot: nan", "snapshot: must be a period of more than 0 seconds"),
    ],
)
def test_rules_of_a_camera(site: Site, settings: str, line: str) -> None:
    assert site.problem(with_camera(settings)) == "cameras[0]." + line


def test_the_same_zone_in_two_cameras_is_fine(site: Site) -> None:
    zones = f'source: "shapes:", zones: [{{id: bay, {POLYGON}}}]'
    text = f"model: {{id: rfdetr-seg-nano}}\ncameras: [{{id: a, {zones}}}, {{id: b, {zones}}}]"
    assert [camera.zones[0].id for camera in site.config(text).cameras] == ["bay", "bay"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Dock", "may consist of a-z, 0-9, _ and - only"),
        ("a/b", "may consist of a-z, 0-9, _ and - only"),
        ("''", "may consist of a-z, 0-9, _ and - only"),
        ("status", "must not be status, info, heartbeat: those topics are taken"),
        ("info", "must not be status, info, heartbeat: those topics are taken"),
        ("heartbeat", "must not be status, info, heartbeat: those topics are taken"),
        ("[a]", "must be text"),
    ],
)
def test_rules_of_a_camera_id(site: Site, name: str, line: str) -> None:
    text = f"model: {{id: rfdetr-seg-nano}}\ncameras: [{{id: {name}, source: 'shapes:'}}]"
    assert site.problem(text) == f"cameras[0].id: {line}"


TOPIC = "must be an MQTT topic without +, #, empty levels or a $ in front"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("node: Dock 7", "node: may consist of a-z, 0-9, _ and - only"),
        ("tracking: {confirm_frames: 0}", "tracking.confirm_frames: must be at least 1"),
        (
            "mqtt: {host: 'mqtt://broker'}",
            "mqtt.host: must be a host name or an address, without scheme and port",
        ),
        (
            "mqtt: {host: 'broker:1883'}",
            "mqtt.host: must be a host name or an address, without scheme and port",
        ),
        ("mqtt: {host: ''}", "mqtt.host: must not be empty"),
        ("mqtt: {port: 0}", "mqtt.port: must be at least 1"),
        ("mqtt: {port: true}", "mqtt.port: must be a whole number"),
        ("mqtt: {password_file: secret}", "mqtt.password_file: needs username"),
        (
            "mqtt: {username: a, password_file: nope}",
            "mqtt.password_file: no such file: '{folder}/nope'",
        ),
        (
            "mqtt: {username: a, password_file: empty}",
            "mqtt.password_file: is empty: '{folder}/empty'",
        ),
        (
            "mqtt: {username: a, password_file: binary}",
            "mqtt.password_file: is not UTF-8 text: '{folder}/binary'",
        ),
        (
            "mqtt: {password: secret}",
            "mqtt.password: unknown key (did you mean 'password_file'?)",
        ),
        ("mqtt: {tls: maybe}", "mqtt.tls: must be true or false"),
        (
            "mqtt: {tls: [true]}",
            "mqtt.tls: must be true, false or a mapping of ca_file, cert_file and key_file",
        ),
        ("mqtt: {tls: {ca_file: nope}}", "mqtt.tls.ca_file: no such file: '{folder}/nope'"),
        ("mqtt: {tls: {cert_file: secret}}", "mqtt.tls.key_file: is required with cert_file"),
        ("mqtt: {tls: {key_file: secret}}", "mqtt.tls.key_file: needs cert_file"),
        (
            "mqtt: {tls: {cert_file: nope, key_file: secret}}",
            "mqtt.tls.cert_file: no such file: '{folder}/nope'",
        ),
        (
            "mqtt: {tls: {ca_fil: secret}}",
            "mqtt.tls.ca_fil: unknown key (did you mean 'ca_file'?)",
        ),
        ("mqtt: {base_topic: /a}", f"mqtt.base_topic: {TOPIC}"),
        ("mqtt: {base_topic: a//b}", f"mqtt.base_topic: {TOPIC}"),
        ("mqtt: {base_topic: a/}", f"mqtt.base_topic: {TOPIC}"),
        ("mqtt: {base_topic: a/+}", f"mqtt.base_topic: {TOPIC}"),
        ("mqtt: {base_topic: 'a/#'}", f"mqtt.base_topic: {TOPIC}"),
        ("mqtt: {base_topic: $$SYS}", f"mqtt.base_topic: {TOPIC}"),
        ("mqtt: {base_topic: ''}", f"mqtt.base_topic: {TOPIC}"),
        ("spool: {path: .}", "spool.path: is a folder: name a file in it"),
        ("mqtt: {max_payload_bytes: 1023}", "mqtt.max_payload_bytes: must be at least 1024"),
        ("mqtt: {home_assistant: {prefix: a+}}", f"mqtt.home_assistant.prefix: {TOPIC}"),
        (
            "mqtt: {home_assistant: {enabled: soon}}",
            "mqtt.home_assistant.enabled: must be true or false",
        ),
        ("spool: {max_bytes: 0}", "spool.max_bytes: must be at least 1"),
        ("http: {port: 65536}", "http.port: must be at most 65535"),
        ("http: {username: a}", "http.password_file: is required with username"),
        ("http: {password_file: secret}", "http.password_file: needs username"),
        ("http: {tls: true}", "http.tls: must be a mapping of keys to values"),
        ("http: {tls: {}}", "http.tls: needs cert_file and key_file"),
        (
            "http: {tls: {cert_file: secret, key_file: secret, ca_file: secret}}",
            "http.tls: has no use for ca_file: certificates of clients are not checked",
        ),
        ("log: {format: jsn}", "log.format: must be one of text, json (did you mean 'json'?)"),
    ],
)
def test_rules_of_the_other_sections(site: Site, text: str, line: str) -> None:
    (site.folder / "secret").write_text("x\n")
    (site.folder / "empty").write_text("\n")
    (site.folder / "binary").write_bytes(b"\xff")
    assert site.problem(GOOD + text) == line.format(folder=site.folder)


# What comes out


def test_defaults(site: Site) -> None:
    config, warnings = site.load(GOOD)
    assert warnings == []
    assert config.node == "dock7-local"
    assert config.state_dir == Path("/home/ed/.local/state/rfdetr-edge")
    assert config.cache_dir == Path("/home/ed/.cache/rfdetr-edge")
    assert config.mqtt.client_id == "rfdetr-edge-dock7-local"
    assert config.spool.path == Path("/home/ed/.local/state/rfdetr-edge/spool.db")
    assert config.cameras[0].source == ShapesAddress()
    assert config.model.confidence == 0.5
    assert (config.mqtt.tls, config.http.tls) == (False, None)


def test_folders_of_systemd_go_before_those_of_the_user(site: Site) -> None:
    xdg = {"XDG_STATE_HOME": "/xdg/state", "XDG_CACHE_HOME": "/xdg/cache"}
    config = site.config(GOOD, **xdg)
    assert (config.state_dir, config.cache_dir) == (
        Path("/xdg/state/rfdetr-edge"),
        Path("/xdg/cache/rfdetr-edge"),
    )
    systemd = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "CACHE_DIRECTORY": "/var/cache/a"}
    config = site.config(GOOD, **xdg, **systemd)
    assert (config.state_dir, config.cache_dir) == (Path("/var/lib/a"), Path("/var/cache/a"))
    assert config.spool.path == Path("/var/lib/a/spool.db")


def test_relative_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    for name in ("m.pth", "secret", "cert", "key"):
        (tmp_path / name).write_text("x")
    (tmp_path / "site.yaml").write_text("""\
state_dir: state
cache_dir: /abs/cache
model: {path: m.pth}
cameras: [{id: a, source: "file:clip.mp4?loop=1"}]
mqtt: {username: a, password_file: secret, tls: {ca_file: cert, cert_file: cert, key_file: key}}
spool: {path: events.db}
http: {token_file: secret, tls: {cert_file: cert, key_file: key}}
""")
    config = load_config(tmp_path / "site.yaml", {}).config
    assert config.state_dir == tmp_path / "state"
    assert config.cache_dir == Path("/abs/cache")
    assert config.model.path == tmp_path / "m.pth"
    assert config.cameras[0].source == FileAddress(tmp_path / "clip.mp4", loop=True)
    assert config.mqtt.password_file == config.http.token_file == tmp_path / "secret"
    assert isinstance(config.mqtt.tls, TlsSettings)
    assert config.mqtt.tls.ca_file == tmp_path / "cert"
    assert config.spool.path == tmp_path / "events.db"
    assert config.http.tls is not None
    assert config.http.tls.key_file == tmp_path / "key"


def test_a_map_of_thresholds_always_has_its_default(site: Site) -> None:
    text = GOOD.replace("preview", "nano, confidence: {person: 0.4}")
    assert site.config(text).model.confidence == {"default": 0.5, "person": 0.4}
    text = GOOD.replace("preview", "nano, confidence: {default: 0.3}")
    assert site.config(text).model.confidence == {"default": 0.3}


def test_snapshot_is_a_word_or_a_period(site: Site) -> None:
    assert site.config(with_camera("snapshot: events")).cameras[0].snapshot == "events"
    assert site.config(with_camera("snapshot: 2.5")).cameras[0].snapshot == 2.5


def test_a_username_needs_no_password_at_the_broker(site: Site) -> None:
    assert site.config(GOOD + "mqtt: {username: a, tls: true}").mqtt.tls is True


@pytest.mark.parametrize(
    ("content", "secret"),
    [(b"x", "x"), (b"x\n", "x"), (b"x\r\n", "x"), (b" x \n\n", " x \n"), ("ä".encode(), "ä")],
)
def test_a_secret_loses_one_line_end(tmp_path: Path, content: bytes, secret: str) -> None:
    (tmp_path / "s").write_bytes(content)
    assert read_secret(tmp_path / "s") == secret


def test_a_camera_password_is_in_no_repr(site: Site) -> None:
    config = site.config(with_camera("max_fps: 1", "rtsp://user:hunter2@h/x"))
    assert "hunter2" not in repr(config) + str(config)


def test_settings_can_be_built_without_a_file() -> None:
    assert MqttSettings(port=1884, username="a").port == 1884


@given(st.text(st.characters(codec="utf-8"), max_size=80))
@settings(deadline=None, max_examples=200)
def test_any_text_is_a_configuration_or_lines_of_problems(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text, newline="")
    with pytest.raises(ConfigError) as raised:
        load_config(file, {})
    assert raised.value.problems
    assert all(line.startswith(f"{file}: ") for line in raised.value.problems)


JUNK = [
    "",
    "7",
    "-1",
    "1e400",
    "true",
    "nan",
    ".inf",
    "{}",
    "{a: b}",
    "[]",
    "[[]]",
    "[null]",
    "a b",
]


@pytest.mark.parametrize("junk", JUNK)
def test_junk_anywhere_gets_our_sentences_and_not_pydantics(site: Site, junk: str) -> None:
    (site.folder / "m.pth").touch()
    lines = f"""\
node: &junk {junk}
model: {{path: m.pth, id: *junk, type: *junk, labels: *junk, confidence: *junk, device: *junk}}
cameras:
  - {{id: a, source: *junk, transport: *junk, max_fps: *junk, classes: *junk, ignore: *junk,
     zones: *junk, lines: *junk, frames: *junk, geometry: *junk, snapshot: *junk}}
  - {{id: b, source: "shapes:", zones: [*junk, {{id: *junk, polygon: *junk, dwell_s: *junk}}],
     lines: [*junk, {{id: *junk, from: *junk, to: *junk}}], ignore: [*junk, [*junk, [*junk, 1]]]}}
  - *junk
tracking: *junk
mqtt: {{host: *junk, port: *junk, username: *junk, tls: *junk, home_assistant: *junk}}
spool: {{path: *junk, max_bytes: *junk, max_age_s: *junk}}
http: {{token_file: *junk, tls: *junk}}
log: *junk
"""
    problems = site.problems(lines)
    assert len(problems) > 10
    for problem in problems:
        assert not re.search("[Ii]nput|valid|pydantic|<|None|dict|tuple|string", problem), problem


# Warnings


@pytest.mark.parametrize(
    "text",
    [
        with_camera("decoder: nvidia", "shapes:"),
        with_camera("decoder: nvidia", "csi:0"),
        with_camera("decoder: software", "gstreamer:v4l2src"),
    ],
)
def test_a_decoder_that_has_nothing_to_decode_is_warned_about(site: Site, text: str) -> None:
    assert site.load(text).warnings == [
        "site.yaml: cameras[0].decoder: has no effect on a source that is not rtsp: or usb:"
    ]


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "tracking: {confirm_frames: 4, lost_after_s: 3, update_interval_s: 3}",
        with_camera(
            f"zones: [{{id: bay, {POLYGON}}}], lines: [{{id: l, from: [0, 0], to: [1, 1]}}]"
        ),
        with_camera("frames: changes, geometry: both, snapshot: 5"),
        with_camera("decoder: software", "rtsp://10.0.0.4/stream1"),
        with_camera("decoder: nvidia", "usb:0?fourcc=MJPG"),
        with_camera("max_fps: 1", "csi:0?size=1280x720&fps=30"),
        with_camera("max_fps: 1", "gstreamer:v4l2src"),
        GOOD + "mqtt: {home_assistant: {enabled: true}}",
        GOOD + "spool: {path: a.db, max_bytes: 1000, max_age_s: 1, replay_rate: 1}",
    ],
)
def test_what_works_is_not_warned_about(site: Site, text: str) -> None:
    assert site.load(text).warnings == []


OPEN = (
    "site.yaml: http.host: anybody on the network can see the cameras "
    "(set token_file, or username and password_file)"
)


@pytest.mark.parametrize(
    ("http", "warnings"),
    [
        ("host: 127.0.0.1", []),
        ("host: 127.9.9.9", []),
        ("host: '::1'", []),
        ("host: localhost", []),
        ("host: 0.0.0.0", [OPEN]),
        ("host: '::'", [OPEN]),
        ("host: dock7.local", [OPEN]),
        ("host: 0.0.0.0, token_file: secret", []),
        ("host: 0.0.0.0, username: a, password_file: secret", []),
    ],
)
def test_an_open_page_is_warned_about(site: Site, http: str, warnings: list[str]) -> None:
    (site.folder / "secret").write_text("x")
    assert site.load(GOOD + f"http: {{{http}}}").warnings == warnings


# The examples and the documentation


@pytest.fixture
def example(site: Site) -> Callable[[str], Loaded]:
    (site.folder / "mqtt_password").write_text("x\n")
    (site.folder / "page_token").write_text("x\n")

    def load(name: str) -> Loaded:
        shutil.copy(ROOT / "config" / name, site.folder)
        return load_config(Path(name), {"HOME": "/home/ed", "DOCK_PASSWORD": "p@ss"}, "dock-7")

    return load


@pytest.mark.parametrize("name", sorted(file.name for file in (ROOT / "config").glob("*.yaml")))
def test_every_example_loads_without_a_warning(example: Callable[[str], Loaded], name: str) -> None:
    assert example(name).warnings == []


def test_the_full_example_writes_out_the_defaults(
    example: Callable[[str], Loaded], site: Site
) -> None:
    plain = GOOD.replace("shapes:", "rtsp://viewer:${DOCK_PASSWORD}@192.0.2.4/stream1")
    plain += "node: dock-7\n"
    assert example("full.yaml").config == site.config(plain, DOCK_PASSWORD="p@ss")


KEYS = [key_text(path) for path in all_keys(Config)]


def test_the_documentation_explains_every_key() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    headings = {"tracking", "mqtt", "spool", "http", "log", "mqtt.home_assistant"}
    refused = {"http.tls.ca_file"}
    rows = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    assert set(KEYS) - headings - refused - rows == set()


def test_the_full_example_names_every_key() -> None:
    text = (ROOT / "config" / "full.yaml").read_text()
    names = {path.rpartition(".")[2] for path in KEYS}
    assert {name for name in names if not re.search(rf"\b{name}:", text)} == set()


def test_the_shipped_model_by_its_type_alone(tmp_path):
    file = tmp_path / "edge.yaml"
    file.write_text(
        "model: {type: rfdetr-seg-demo}\ncameras: [{id: a, source: 'shapes:'}]\n", encoding="utf-8"
    )
    model = load_config(file, {}).config.model
    assert (model.id, model.path, model.type) == (None, None, "rfdetr-seg-demo")


def test_hysteresis_left_out_fits_any_overlap(site: Site) -> None:
    zones = ", ".join(f"{{id: z{i}, {POLYGON}, min_overlap: 0.0{i}}}" for i in (0, 3, 9))
    loaded = site.load(with_camera(f"zones: [{zones}]"))
    assert [zone.hysteresis for zone in loaded.config.cameras[0].zones] == [0, 0.03, 0.05]
