"""The page in a real browser."""

import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from serving import CAMERA, Daemon, Serve

pytestmark = pytest.mark.e2e


def chromium(folder: Path, *arguments: str) -> str:
    """Run a headless Chromium until it has done what it was asked; its standard output."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
    command += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command += ["--disable-sync", f"--user-data-dir={folder / 'profile'}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def screenshot(folder: Path, url: str, width: int = 1000, height: int = 700) -> np.ndarray:
    path = folder / "page.png"
    chromium(folder, f"--window-size={width},{height}", f"--screenshot={path}", url)
    return np.asarray(cv2.imread(str(path)))


def pixels_of_grey(picture: np.ndarray, value: int) -> int:
    return int((np.abs(picture.astype(int) - value) <= 2).all(axis=2).sum())


@pytest.mark.parametrize(("width", "height"), [(1000, 700), (400, 800)])
def test_the_camera_is_seen(
    serve: Serve, daemon: Daemon, tmp_path: Path, width: int, height: int
) -> None:
    url = serve().url
    shown_grey = 150
    before = screenshot(tmp_path, url, width, height)
    assert before.shape == (height, width, 3)
    assert pixels_of_grey(before, shown_grey) < 200

    daemon.post("dock", shown_grey - 20)
    after = screenshot(tmp_path, url, width, height)

    # A card is at least 360 pixels wide and its picture 16:9; the object covers a fifteenth of it.
    assert pixels_of_grey(after, shown_grey) > 0.7 * 360 * 202


def test_text_stays_text_and_states_are_told(serve: Serve, daemon: Daemon, tmp_path: Path) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">"
    daemon.views[0] = replace(CAMERA, state="degraded", reason=f"too hot {evil}")
    daemon.post("dock", 7, label=evil)
    daemon.ready_answer = (False, {"reason": "no camera delivers"})

    page = chromium(tmp_path, "--dump-dom", serve().url)

    assert "<title>dock-7 · rfdetr-edge</title>" in page
    assert "<img src=x" not in page
    escaped = "&lt;img src=x onerror=\"document.title='owned'\"&gt;"
    assert f"<li>{escaped}<b>1</b></li>" in page
    assert f"too hot {escaped}</p>" in page
    assert 'data-camera="dock" data-state="degraded"' in page
    assert 'data-camera="gate" data-state="offline"' in page
    assert ">no frame yet</span>" in page
    assert ">Not ready: no camera delivers</p>" in page
    assert ">rfdetr-edge 0.1.0</span> · <span" in page
    assert ">22 h 33 min</dd>" in page


def test_a_camera_that_is_switched_off_is_shown_so(
    serve: Serve, daemon: Daemon, tmp_path: Path
) -> None:
    daemon.views = [replace(CAMERA, state="disabled", reason="switched off", age_s=None, fps=0.0)]
    daemon.post("dock", 7)
    daemon.board.clear("dock")

    page = chromium(tmp_path, "--dump-dom", serve().url)

    assert 'data-camera="dock" data-state="disabled"' in page
    assert '<p class="reason" data-show="reason">switched off</p>' in page
    assert "0.0 fps" not in page
    assert "no frame yet" not in page
    assert 'src="cameras/dock' not in page


def test_the_page_keeps_asking_for_newer_pictures(
    serve: Serve, daemon: Daemon, tmp_path: Path
) -> None:
    daemon.post("dock", 7)
    page = chromium(tmp_path, "--dump-dom", "--virtual-time-budget=3000", serve().url)
    assert 'src="cameras/dock/snapshot.jpg?frame=7"' in page


def test_the_page_works_behind_a_login(serve: Serve, daemon: Daemon, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("pass")
    server = serve(username="anna", password_file=password)
    daemon.post("dock", 130)

    logged_in = screenshot(tmp_path, server.url.replace("//", "//anna:pass@"))

    assert pixels_of_grey(logged_in, 150) > 0.7 * 360 * 202
