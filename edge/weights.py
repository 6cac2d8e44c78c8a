"""The hosted COCO weights: downloaded once, checksum verified, cached."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from edge.spelling import did_you_mean

OFFICIAL_URL = "https://storage.googleapis.com/rfdetr/"
MIRROR_VARIABLE = "RFDETR_EDGE_WEIGHTS_URL"
_CHUNK_BYTES = 1 << 18


class WeightsError(Exception):
    """The weights could not be had: one sentence, with what to do about it."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class HostedWeights:
    """``file`` is the name in the cache, ``object`` the name below the base URL."""

    file: str
    object: str
    md5: str


HOSTED_WEIGHTS: Mapping[str, HostedWeights] = {
    "rfdetr-seg-preview": HostedWeights(
        "rf-detr-seg-preview.pt", "rf-detr-seg-preview.pt", "e35820c28fb86080558123e47a5e49ca"
    ),
    "rfdetr-seg-nano": HostedWeights(
        "rf-detr-seg-nano.pt", "rf-detr-seg-n-ft.pth", "9995497791d0ff1664a1d9ddee9cfd20"
    ),
    "rfdetr-seg-small": HostedWeights(
        "rf-detr-seg-small.pt", "rf-detr-seg-s-ft.pth", "0a2a3006381d0c42853907e700eadd08"
    ),
    "rfdetr-seg-medium": HostedWeights(
        "rf-detr-seg-medium.pt", "rf-detr-seg-m-ft.pth", "a49af1562c3719227ad43d0ca53b4c7a"
    ),
    "rfdetr-seg-large": HostedWeights(
        "rf-detr-seg-large.pt", "rf-detr-seg-l-ft.pth", "275f7b094909544ed2841c94a677d07e"
    ),
    "rfdetr-seg-xlarge": HostedWeights(
        "rf-detr-seg-xlarge.pt", "rf-detr-seg-xl-ft.pth", "3693b35d0eea86ebb3e0444f4a611fba"
    ),
    "rfdetr-seg-2xlarge": HostedWeights(
        "rf-detr-seg-xxlarge.pt", "rf-detr-seg-2xl-ft.pth", "040bc3412af840fa8a47e0ff69b552ba"
    ),
}


def fetch_weights(
    model_id: str,
    cache_dir: Path,
    environ: Mapping[str, str] = os.environ,
    *,
    hosted: Mapping[str, HostedWeights] = HOSTED_WEIGHTS,
    timeout_s: tuple[float, float] = (10.0, 30.0),
) -> Path:
    """The verified checkpoint of ``model_id`` in ``cache_dir/weights``, downloaded if need be.

    It comes from the official location or, where ``RFDETR_EDGE_WEIGHTS_URL`` is set, from that
    mirror (http, https or file), which has the official object names. A cached file is used only
    if its checksum is right; a wrong one is downloaded anew. ``timeout_s`` bounds the wait for a
    connection and for each further piece of data. Raises ``WeightsError``.
    """
    if model_id not in hosted:
        hint = did_you_mean(model_id, hosted) or f": known are {', '.join(hosted)}"
        raise WeightsError(f"no hosted weights are called '{model_id}'{hint}")
    weights = hosted[model_id]
    source = _base_url(environ)
    path = cached_path(weights, cache_dir)
    try:
        if not is_verified(path, weights.md5):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _only_downloader(path.parent):
                url = source._replace(path=f"{source.path.rstrip('/')}/{weights.object}").geturl()
                _download(url, path, weights.md5, timeout_s)
    except (OSError, ValueError) as error:  # all that requests raises is one of the two
        reason = _why(error, source.hostname or unquote(source.path), timeout_s)
        remedy = (
            f"try again, or fetch {OFFICIAL_URL}{weights.object} elsewhere (MD5 {weights.md5})"
            f" and put it at {path}"
        )
        if path.is_file():
            remedy += ", where the present file does not have that checksum"
        raise WeightsError(f"cannot get the weights of {model_id}: {reason}; {remedy}") from error
    return path


def _base_url(environ: Mapping[str, str]) -> SplitResult:
    """Where the objects are; a query (a signature, a token) stays with it."""
    try:
        url = urlsplit(environ.get(MIRROR_VARIABLE) or OFFICIAL_URL)
    except ValueError:
        url = SplitResult("", "", "", "", "")
    if not (url.scheme == "file" or (url.scheme in ("http", "https") and url.hostname)):
        raise WeightsError(f"{MIRROR_VARIABLE} must be a http://, https:// or file:// URL")
    return url


def cached_path(weights: HostedWeights, cache_dir: Path) -> Path:
    """Where they are kept, once they were downloaded."""
    return cache_dir / "weights" / weights.file


def is_verified(path: Path, md5: str) -> bool:
    """Whether the file is there and whole."""
    if not path.exists():
        return False
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == md5


@contextlib.contextmanager
def _only_downloader(folder: Path) -> Iterator[None]:
    """Wait until no other process downloads into ``folder``; whoever waited finds the file there.

    What a killed download left behind is removed: 150 MB a piece on a small flash disk.
    """
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel gives it back when a process dies
        for leftover in folder.glob("tmp*"):
            leftover.unlink()
        yield


def _download(url: str, path: Path, md5: str, timeout_s: tuple[float, float]) -> None:
    """Download to a temporary file beside ``path``, verify, rename; a verified ``path`` stays.

    Raises ``OSError``, ``ValueError`` (wrong checksum) or ``requests.RequestException``.
    """
    import pooch  # brings requests, 0.2 s: only where something is downloaded

    def download(url: str, output_file: str, _pooch: object) -> None:
        if url.startswith("file:"):
            shutil.copyfile(unquote(urlsplit(url).path), output_file)
        else:
            _get(url, output_file, timeout_s)

    # pooch would print the URL, and the URL may hold the mirror's password.
    pooch.get_logger().setLevel("WARNING")
    pooch.retrieve(url, f"md5:{md5}", path.name, path.parent, downloader=download)
    path.chmod(0o644)  # temporary files are made for their owner alone


def _get(url: str, output_file: str, timeout_s: tuple[float, float]) -> None:
    import requests
    from tqdm import tqdm

    with (
        requests.get(url, stream=True, timeout=timeout_s) as response,
        open(output_file, "wb") as file,
    ):
        response.raise_for_status()
        total = int(response.headers.get("Content-Length", 0)) or None
        with tqdm(total=total, unit="B", unit_scale=True, disable=None) as bar:  # None: no tty
            for chunk in response.iter_content(_CHUNK_BYTES):
                bar.update(file.write(chunk))


def _why(error: Exception, host: str, timeout_s: tuple[float, float]) -> str:
    """The cause in a few words. The text of a requests error is not used: it quotes the URL."""
    from requests import exceptions as http
    from urllib3 import exceptions as transport

    inner = error.args[0] if error.args else None
    cause = getattr(inner, "reason", inner)
    if isinstance(error, http.HTTPError) and error.response is not None:
        return f"{host} answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, http.ConnectTimeout):
        return f"no connection to {host} within {timeout_s[0]:g} s"
    if isinstance(error, http.ReadTimeout) or isinstance(cause, transport.ReadTimeoutError):
        return f"{host} sent nothing for {timeout_s[1]:g} s"
    if isinstance(error, http.SSLError):
        return f"the certificate of {host} was not accepted (is this machine's clock right?)"
    if isinstance(error, http.ProxyError):
        return f"the proxy does not let us through to {host}"
    if isinstance(error, http.ChunkedEncodingError):
        return f"the connection to {host} broke in the middle of the file"
    if isinstance(error, http.ConnectionError):
        return f"no connection to {host} ({_network_trouble(str(cause))})"
    if isinstance(error, http.RequestException):
        return f"the request to {host} failed ({type(error).__name__})"
    if isinstance(error, OSError):
        place = error.filename2 or error.filename  # of a copy, the one that is written
        return f"{error.strerror or type(error).__name__}{f' ({place})' if place else ''}"
    return f"what {host} sent does not have the right checksum"


def _network_trouble(text: str) -> str:
    for sign, words in (
        ("resolve", "its name cannot be resolved: is the network up?"),
        ("refused", "refused"),
        ("unreachable", "network unreachable"),
    ):
        if sign in text:
            return words
    return "broken off"
