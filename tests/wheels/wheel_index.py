"""Package indexes on loopback that serve tiny stand-in wheels, and pip beside them."""

import hashlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote


def canonical(name: str) -> str:
    """A project's name as an index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def make_wheel(
    name: str, version: str, tag: str, maker: str, *, requires: Iterable[str] = ()
) -> tuple[str, bytes]:
    """File name and bytes of a wheel with one module, named like the project, that has a ``MAKER``.

    ``requires`` may name extras: each is announced.
    """
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    requires = list(requires)
    extras = sorted({extra for line in requires for extra in re.findall(r'extra == "(.+?)"', line)})
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Provides-Extra: {extra}" for extra in extras]
    metadata += [f"Requires-Dist: {line}" for line in requires]
    files = {
        f"{module}.py": f"MAKER = {maker!r}\n",
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return f"{module}-{version}-{tag}.whl", buffer.getvalue()


class Index:
    """One index; ``url`` is what ``--index-url`` takes. Files may come and go while it serves."""

    def __init__(self) -> None:
        self.asked: list[str] = []  # paths, in order
        self._projects: dict[str, dict[str, bytes]] = {}
        self._files: dict[str, bytes] = {}
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                body = index._body(unquote(self.path))
                self.send_response(404 if body is None else 200)
                page = not self.path.endswith(".whl")
                self.send_header("Content-Type", "text/html" if page else "application/zip")
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.address}/simple/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    def __enter__(self) -> "Index":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, name: str, version: str, tag: str, maker: str, **options: Any) -> None:
        """Serve a new wheel of this project."""
        file, data = make_wheel(name, version, tag, maker, **options)
        self._projects.setdefault(canonical(name), {})[file] = data

    def put(self, path: str, data: bytes | None) -> None:
        """Serve a file at this path, beside the index's own pages; None: not any more."""
        if data is None:
            del self._files[path]
        else:
            self._files[path] = data

    def wheels_asked(self, project: str) -> list[str]:
        """The wheels of a project that were downloaded."""
        files = [path.rsplit("/", 1)[1] for path in self.asked if path.endswith(".whl")]
        return [file for file in files if canonical(file.split("-")[0]) == project]

    def _body(self, path: str) -> bytes | None:
        if path in self._files:
            return self._files[path]
        _, kind, *rest = path.split("/")
        if kind == "simple" and rest[0] in self._projects:
            folder = f"/files/{rest[0]}"
            links = [
                f'<a href="{folder}/{file}#sha256={hashlib.sha256(data).hexdigest()}">{file}</a>'
                for file, data in self._projects[rest[0]].items()
            ]
            return ("<!DOCTYPE html>\n" + "\n".join(links)).encode()
        if kind == "files":
            return self._projects.get(rest[0], {}).get(rest[1])
        return None


def pip(
    arguments: Iterable[str],
    folder: Path,
    index: Index,
    *,
    options: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """``pip install …`` in ``folder``, with this index for the public one and no other settings.

    ``options`` come before the command's own.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    clean |= {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index.url,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "0",
        **(environ or {}),
    }
    command = [sys.executable, "-m", "pip", *options, *arguments]
    return subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, check=False
    )


def report_urls(file: Path) -> dict[str, str]:
    """Where pip's ``--report`` says each project was taken from."""
    return {
        canonical(item["metadata"]["name"]): item["download_info"]["url"]
        for item in json.loads(file.read_text())["install"]
    }


def documented_commands(file: Path, before: str) -> list[list[str]]:
    """The arguments of each ``pip …`` in a file, on lines that start so."""
    text = file.read_text().replace("\\\n", "")
    found = re.findall(rf"^{re.escape(before)}pip (.+)$", text, re.MULTILINE)
    return [shlex.split(command) for command in found]
