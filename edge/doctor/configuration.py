"""The configuration file and the checkpoint that it names."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.machine import Machine, ProbeFailed

if TYPE_CHECKING:
    from edge.config import Config

_PROBE_S = 120.0


class Site(NamedTuple):
    """A configuration that is in order, and the file it stands in."""

    file: str
    config: "Config"


def read_site(file: str, environ: Mapping[str, str]) -> tuple[Site | None, list[Finding]]:
    """What check-config says, as findings; the site is None where it is refused."""
    from edge.config import ConfigError, load_config

    try:
        config, warnings = load_config(Path(file), environ)
    except ConfigError as error:
        fix = "correct it: docs/configuration.md has every key"
        findings = []
        for problem in error.problems:
            unset = "is not set" in problem
            by_service = "the service has its variables from /etc/rfdetr-edge/environment"
            findings.append(fail("config", f"{problem}", by_service if unset else fix))
        return None, findings
    findings = [warn("config", f"{warning}", "docs/configuration.md") for warning in warnings]
    cameras = len(config.cameras)
    plural = "" if cameras == 1 else "s"
    findings.append(ok("config", f"{file}: node {config.node}, {cameras} camera{plural}"))
    return Site(file, config), findings


def needs_weights(config: "Config") -> bool:
    """Whether the hosted weights that it names are not in the cache yet, or not whole."""
    from edge.weights import HOSTED_WEIGHTS, cached_path, is_verified

    hosted = HOSTED_WEIGHTS.get(config.model.id or "")
    if hosted is None:
        return False
    try:
        return not is_verified(cached_path(hosted, config.cache_dir), hosted.md5)
    except OSError:
        return True


def model(machine: Machine, site: Site, torch_works: bool) -> Iterator[Finding]:
    """Read the checkpoint as data; that needs torch, and computes nothing."""
    named = site.config.model
    name = named.path or named.id or named.type
    if needs_weights(site.config):
        yield warn(
            "model",
            f"the weights of {name} are not in the cache yet",
            "the first start downloads them; without the internet see docs/offline-install.md",
        )
        return
    if not torch_works:
        yield warn("model", f"{name} cannot be read without torch", "mend torch first (above)")
        return
    try:
        facts: Mapping[str, Any] = machine.probe(["model", site.file], _PROBE_S)
    except ProbeFailed as error:
        facts = {"error": f"reading it {error}"}
    refusal = facts.get("error") or facts.get("failed")
    if refusal:
        yield fail(
            "model", f"{name}: {refusal}", "the daemon would refuse it (exit code 78): see the text"
        )
    else:
        yield ok(
            "model",
            f"{name}: {facts['variant']}, {facts['labels']} labels, sha256 {facts['sha256'][:12]}",
        )
