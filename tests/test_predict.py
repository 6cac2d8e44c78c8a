"""``rfdetr-edge predict`` on files, through the command line."""

import json
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest

from edge.capture.shapes import ShapesCamera
from edge.cli import main
from edge.events.schema import load

VALIDATOR = jsonschema.Draft202012Validator(load("frame-1"))
MODEL = ["--model", "rfdetr-seg-demo", "--device", "cpu", "--confidence", "0.45"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "Shapes Ü.png"  # not what a camera id may be
    cv2.imwrite(str(path), ShapesCamera(7, objects=5, min_size=40).frame(30).image)
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "shapes.avi"
    camera = ShapesCamera(7, objects=5, min_size=40)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 15, (640, 360))
    for number in range(5):
        writer.write(camera.frame(number).image)
    writer.release()
    return path


def test_picture_to_json(picture, capsys):
    assert main(["predict", str(picture), *MODEL, "--json"]) == 0
    message = json.loads(capsys.readouterr().out)
    VALIDATOR.validate(message)
    assert (message["frame"]["width"], message["frame"]["height"]) == (640, 360)
    assert message["objects"]
    assert message["truncated"] == 0


def test_picture_to_annotated_picture(picture, tmp_path, capsys):
    output = tmp_path / "annotated.png"
    assert main(["predict", str(picture), *MODEL, "--output", str(output)]) == 0
    assert capsys.readouterr().out == ""
    annotated, original = cv2.imread(str(output)), cv2.imread(str(picture))
    assert annotated.shape == original.shape
    changed = (annotated != original).any(-1).mean()
    assert 0.01 < changed < 0.5


def test_video_to_annotated_video_and_a_message_a_frame(video, tmp_path, capsys):
    output = tmp_path / "annotated.mp4"
    assert main(["predict", str(video), *MODEL, "--output", str(output), "--json"]) == 0
    printed = capsys.readouterr()
    messages = [json.loads(line) for line in printed.out.splitlines()]
    assert [m["frame"]["id"] for m in messages] == [0, 1, 2, 3, 4]
    assert [m["seq"] for m in messages] == [1, 2, 3, 4, 5]
    assert "5/5" in printed.err, "no progress bar"
    frames = list(frames_of(output))
    assert len(frames) == 5
    assert frames[0].shape == (360, 640, 3)
    original = ShapesCamera(7, objects=5, min_size=40).frame(4).image.astype(int)
    differs = np.abs(frames[4].astype(int) - original).max(-1) > 60
    assert 0.005 < differs.mean() < 0.3, "the drawing is there, and the picture behind it"


def test_a_damaged_video_is_read_to_its_end(video, capsys):
    content = bytearray(video.read_bytes())
    at = content.index(b"\xff\xd8", len(content) // 3) + 600  # inside a picture in the middle
    content[at : at + 2000] = bytes(2000)
    video.write_bytes(content)
    assert main(["predict", str(video), *MODEL, "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 4


def test_a_full_disk_is_said(video, tmp_path, capsys):
    output = tmp_path / "out.mkv"
    output.symlink_to("/dev/full")
    assert main(["predict", str(video), *MODEL, "--output", str(output)]) == 1
    assert "out.mkv: cannot be written (no space left on device)" in capsys.readouterr().err


def test_labels_from_a_list_and_from_a_file(picture, tmp_path, capsys):
    own = ["Kreis", "Quadrat", "Dreieck", "Stern"]
    file = tmp_path / "labels.txt"
    file.write_text("\n".join(own) + "\n", encoding="utf-8")
    for labels in (",".join(own), str(file)):
        assert main(["predict", str(picture), *MODEL, "--labels", labels, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["objects"]
        assert found
        assert {seen["label"] for seen in found} <= set(own)


def frames_of(path):
    capture = cv2.VideoCapture(str(path))
    while (read := capture.read())[0]:
        yield read[1]
    capture.release()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["missing.png", "--json"], 1, "missing.png: no such file"),
        (["{picture}"], 2, "nothing to do"),
        (["{text}", "--json"], 1, "cannot be read as video"),
        (["{folder}", "--json"], 1, "is not a file"),
        (["{broken}", "--json"], 1, "is not a picture that OpenCV can read"),
        (["{picture}", "--output", "{folder}/out.xyz"], 2, "must end in one of .bmp, .jpeg"),
        (["{picture}", "--output", "{folder}/none/out.png"], 2, "none: no such folder"),
        (["{picture}", "--output", "{picture}"], 2, "would overwrite the source"),
        (["{text}", "--output", "{folder}/out.jpg"], 2, "must end in one of .avi, .mkv"),
        (["{picture}", "--json", "--labels", "a,b"], 78, "give 5 or 4 labels"),
        (["{picture}", "--json", "--confidence", "2"], 2, "not between 0 and 1"),
        (
            ["{picture}", "--json", "--model-type", "rfdetr-seg-nan"],
            2,
            "did you mean 'rfdetr-seg-na",
        ),
        (["{picture}", "--json", "--labels", "{broken}"], 2, "is not UTF-8 text"),
        (["{picture}", "--json", "--labels", "none.txt"], 2, "none.txt: no such file"),
        (["{picture}", "--json", "--labels", "a,a,b,c"], 78, "labels has a name twice"),
        (["{picture}", "--json", "--device", "gpu"], 78, "not auto, cpu, cuda or cuda:N"),
    ],
)
def test_a_mistake_gets_one_sentence(picture, tmp_path, capsys, arguments, code, sentence):
    text, broken = tmp_path / "text.mp4", tmp_path / "broken.png"
    text.write_text("hello\n")
    broken.write_bytes(picture.read_bytes()[:100])
    names = {"picture": picture, "text": text, "broken": broken, "folder": tmp_path}
    filled = [argument.format(**names) for argument in arguments]
    assert main(["predict", *MODEL, *filled]) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error


def test_a_picture_of_one_pixel(tmp_path, capsys):
    path = tmp_path / "pixel.png"
    cv2.imwrite(str(path), np.zeros((1, 1, 3), np.uint8))
    assert main(["predict", str(path), *MODEL, "--json"]) == 0
    VALIDATOR.validate(json.loads(capsys.readouterr().out))


def test_a_reader_that_has_seen_enough_is_no_error(video):
    import subprocess
    import sys

    output = video.with_suffix(".mp4")
    predict = f"{sys.executable} -m edge predict {video} {' '.join(MODEL)} --json"
    for command in (predict, f"{predict} --output {output}"):
        piped = ["bash", "-o", "pipefail", "-c", f"{command} | head -1"]
        done = subprocess.run(piped, capture_output=True, text=True, check=True)
        VALIDATOR.validate(json.loads(done.stdout))
    assert len(list(frames_of(output))) == 5, "the video was cut"
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
