"""All checks in their order, printed as they come; the exit code."""

import argparse
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator

from edge.doctor import (
    access,
    board,
    cameras,
    clock,
    condition,
    disk,
    gstreamer,
    network,
    opencv,
    pytorch,
)
from edge.doctor import service as systemd
from edge.doctor.configuration import Site, model, needs_weights, read_site
from edge.doctor.finding import Finding, warn
from edge.doctor.machine import Machine
from edge.folders import default_cache_dir, default_state_dir
from edge.logs import redact
from edge.report import first_line

Check = tuple[str, Callable[[], Iterable[Finding]]]

# Longer than every check takes that bounds itself; a dead network disk bounds nothing.
_LONGEST_S = 300.0
_HUNG = f"could not be checked: no answer within {_LONGEST_S:g} s"


def doctor(arguments: argparse.Namespace, machine: Machine | None = None) -> int:
    """Print the findings; 1 where one of them is a failure, else 0."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII alone
    findings = []
    hung = False
    for finding in examine(machine or Machine(), arguments.config):
        findings.append(finding)
        hung |= finding.what == _HUNG
        if not arguments.json:
            print(redact(line(finding)), flush=True)
    counts = {level: sum(f.level == level for f in findings) for level in ("ok", "warn", "fail")}
    if arguments.json:
        everything = {"findings": [f._asdict() for f in findings], "counts": counts}
        print(redact(json.dumps(everything, indent=2)), flush=True)
    else:
        print(", ".join(f"{count} {level}" for level, count in counts.items()), flush=True)
    code = 1 if counts["fail"] else 0
    if hung:
        sys.stderr.flush()
        os._exit(code)  # a thread hangs in a call that does not return
    return code


def line(finding: Finding) -> str:
    """``fail  torch          is not installed``, and the fix in a line of its own."""
    first = f"{finding.level:<4}  {finding.subject:<14} {finding.what}"
    return f"{first}\n{'':6}{'':14} fix: {finding.fix}" if finding.fix else first


def examine(machine: Machine, config_file: str | None) -> Iterator[Finding]:
    """Every finding, in an order that does not change."""
    for subject, check in local_checks(machine):
        yield from guarded(subject, check)
    site: Site | None = None
    if config_file is not None:
        sites: list[Site | None] = []

        def read() -> list[Finding]:
            found, findings = read_site(config_file, machine.environ)
            sites.append(found)
            return findings

        yield from guarded("config", read)
        site = sites[0] if sites else None
    for subject, check in software_checks(machine, site):
        yield from guarded(subject, check)
    for subject, check in site_checks(machine, site):
        yield from guarded(subject, check)


def guarded(
    subject: str, check: Callable[[], Iterable[Finding]], longest_s: float = _LONGEST_S
) -> list[Finding]:
    """The check's findings; one that crashes or hangs is a finding, never the end."""
    findings: list[Finding] = []

    def run() -> None:
        try:
            findings.extend(check())
        except ImportError as error:
            findings.append(
                warn(
                    subject,
                    f"could not be checked: {error}",
                    "install what is missing (the line packages, above)",
                )
            )
        except Exception as error:
            said = first_line(error)
            findings.append(
                warn(subject, f"could not be checked: {said}", "tell us, with this line")
            )

    thread = threading.Thread(target=run, name=f"check-{subject}", daemon=True)
    thread.start()
    thread.join(longest_s)
    if thread.is_alive():
        return [*findings, warn(subject, _HUNG, "look at its disk or network, then ask again")]
    return findings


def local_checks(machine: Machine) -> Iterator[Check]:
    """The machine itself, before anything is loaded into its memory."""
    runs = systemd.daemon_runs(machine, default_state_dir(machine.environ))
    yield "board", lambda: board.board(machine)
    yield "jetpack", lambda: board.release(machine)
    yield "python", lambda: board.python(machine)
    yield "packages", board.packages
    yield "gpu devices", lambda: access.gpu_devices(machine)
    yield "groups", lambda: access.groups(machine)
    yield "video devices", lambda: access.video_devices(machine)
    yield "power mode", lambda: condition.power_mode(machine)
    yield "gpu clock", lambda: condition.clocks(machine)
    yield "throttling", lambda: condition.throttling(machine)
    yield "power supply", lambda: condition.over_current(machine)
    yield "temperature", lambda: condition.temperature(machine)
    yield "fan", lambda: condition.fan(machine)
    yield "memory", lambda: condition.memory(machine, runs)
    yield "clock", lambda: clock.clock(machine.clock)
    yield "hardware clock", lambda: clock.hardware_clock(machine)
    yield "service", lambda: systemd.service(machine)
    yield "user", lambda: systemd.service_user(machine)
    yield "user service", lambda: systemd.user_service(machine)


def software_checks(machine: Machine, site: Site | None) -> Iterator[Check]:
    """torch, OpenCV and GStreamer, looked at by other processes."""
    config = site.config if site is not None else None
    wanted = config.model.device if config is not None else "auto"
    torch = pytorch.torch_facts(machine, wanted)
    yield "torch", lambda: pytorch.torch_build(machine, torch, wanted)
    yield "torch", lambda: pytorch.torch_and_release(machine, torch)
    yield "torchvision", lambda: pytorch.torchvision(torch)
    yield "numpy", lambda: pytorch.numpy_bridge(machine, torch)
    yield "checkpoints", lambda: pytorch.checkpoint_safety(machine, torch)
    if site is not None:
        yield "model", lambda: model(machine, site, "version" in torch)
    facts, wheels = opencv.opencv_facts(machine), opencv.installed_wheels()
    yield "opencv", lambda: opencv.opencv(machine, facts, wheels)
    yield "gstreamer", lambda: gstreamer.gstreamer(machine, config)


def site_checks(machine: Machine, site: Site | None) -> Iterator[Check]:
    """The folders; and, where there is a configuration, all that it names."""
    if site is None:
        state, cache = default_state_dir(machine.environ), default_cache_dir(machine.environ)
        yield "state folder", lambda: disk.state_folder(machine, state)
        yield "cache folder", lambda: disk.cache_folder(machine, cache, False)
        return
    config = site.config
    runs = systemd.daemon_runs(machine, config.state_dir)
    room = config.spool.max_bytes
    yield "state folder", lambda: disk.state_folder(machine, config.state_dir, room)
    weights = needs_weights(config)
    yield "cache folder", lambda: disk.cache_folder(machine, config.cache_dir, weights)
    yield "broker", lambda: network.broker(config.mqtt)
    yield "page", lambda: network.page(config.http, runs)
    yield "argus", lambda: access.argus(machine, config)
    yield "argus", lambda: systemd.argus_in_service(machine, config)
    yield "cameras", lambda: cameras.cameras(machine, site, runs)
