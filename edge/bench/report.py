"""The benchmark's parts as tables for a person."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.bench.batches import Batch
from edge.bench.cameras import Cameras, Flow
from edge.bench.capture_load import CaptureLoad
from edge.bench.machine import Machine
from edge.bench.options import Options
from edge.bench.scene import Footage
from edge.bench.stages import FrameSize, Limit, Stages
from edge.bench.subject import Subject
from edge.bench.timing import Spread
from edge.bench.versus import FIGURES, Figures, Versus


@dataclass(frozen=True, slots=True)
class Setting:
    """With what the figures were measured; ``size`` (width, height) of the frames."""

    model: str
    seeded: bool
    checkpoint_sha256: str
    resolution: int
    precision: str
    resize: str
    size: tuple[int, int]
    video: str
    seed: int
    turns: int
    objects: int


def setting(options: Options, subject: Subject, footage: Footage, turns: int) -> Setting:
    """Runs one frame to tell how many objects are found in it."""
    return Setting(
        model=subject.checkpoint.variant.name,
        seeded=subject.choice.seeded,
        checkpoint_sha256=subject.checkpoint.sha256,
        resolution=subject.engine.resolution,
        precision=str(subject.engine.precision).removeprefix("torch."),
        resize=options.resize,
        size=options.size,
        video=footage.codec,
        seed=options.seed,
        turns=turns,
        objects=len(subject.engine.infer(footage.frames[0])[0]),
    )


def machine_lines(machine: Machine) -> list[str]:
    cores = f"{machine.cores} cores, {machine.threads} threads"
    if machine.usable_threads < machine.threads:
        cores += f", {machine.usable_threads} of them for us"
    facts = {
        "device": machine.gpu or machine.device,
        "board": machine.board,
        "CPU": f"{machine.cpu} ({cores}; torch uses {machine.torch_threads})",
        "L4T": machine.l4t,
        "power mode": machine.power_mode or "not told by this machine",
        "versions": ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        "date": machine.date,
        "load average": f"{machine.load:.2f}",
    }
    lines = [f"{name:13} {fact}" for name, fact in facts.items() if fact is not None]
    if machine.busy:
        lines.append("              THE MACHINE IS BUSY: figures will be worse than it can do")
    return lines


def setting_lines(setting: Setting) -> list[str]:
    weights = "seeded weights" if setting.seeded else f"sha256 {setting.checkpoint_sha256[:12]}"
    width, height = setting.size
    return [
        f"{'model':13} {setting.model} ({weights}), {setting.resolution} px, {setting.precision},"
        f" resize {setting.resize}",
        f"{'frames':13} {width}x{height}, seed {setting.seed}, {setting.objects} objects in the"
        f" first, {setting.video} where decoded; {setting.turns} turns a figure",
    ]


def stage_lines(stages: Stages) -> list[str]:
    rows = [*stages.stages.items(), ("whole frame", stages.whole)]
    lines = [f"{'stage':22} {'p50':>9} {'p95':>9} {'mean':>9}  ms"]
    lines += [f"{name:22} {_three(spread)}" for name, spread in rows]
    lines.append(
        f"{stages.frames_per_s:.2f} frames/s one after the other; whole frame: without the grab,"
        " which a capture thread does meanwhile"
    )
    lines.append("publish: the message is built and handed to an MQTT client without a broker")
    return lines


def limit_lines(limit: Limit) -> list[str]:
    speeds = [f"{speed:.1f} GB/s {kind}" for kind, speed in limit.copy_gbps.items()]
    low, high = min(limit.gflops), max(limit.gflops)
    ordered = sorted(limit.gflops)
    middle = ordered[len(ordered) // 2]
    return [
        "the machine in the same rounds",
        f"{'matrix product':22} {middle:9.1f} GFLOP/s, {low:.1f} to {high:.1f} by round"
        f" ({limit.side} x {limit.side})",
        f"{'copies':22} {'':9} {', '.join(speeds)}",
        f"{'forward':22} {limit.forward_gflops:9.1f} GFLOP/s of {limit.useful_gflop:.1f} GFLOP"
        f" that are needed: {limit.reached:.2f} of the matrix product",
    ]


def flow_lines(flow: Flow) -> list[str]:
    return [
        f"{'the loop, flat out':22} {flow.frames_per_s:9.2f} frames/s, the forward running"
        f" {100 * flow.network_share:.1f} % of the time",
    ]


def frame_size_lines(size: FrameSize) -> list[str]:
    width, height = size.own_size
    return [
        f"{'whole frame, full size':22} {size.full.p50_ms:9.2f} ms",
        f"{f'whole frame, {width}x{height}':22} {size.own.p50_ms:9.2f} ms, the network's own size",
        f"{'ratio':22} {size.ratio:9.3f}",
    ]


def capture_lines(capture: CaptureLoad) -> list[str]:
    return [
        f"{'forward alone':22} {capture.without.p50_ms:9.2f} ms",
        f"{'forward beside capture':22} {capture.with_capture.p50_ms:9.2f} ms, a video decoded at"
        f" {capture.capture_fps:.1f} frames/s meanwhile",
        f"{'slower by':22} {capture.slower_percent:9.1f} %; decoding took"
        f" {capture.decoder_core_percent:.1f} % of one core, which is"
        f" {capture.decoder_machine_percent:.1f} % of all",
    ]


def camera_lines(cameras: Sequence[Cameras]) -> list[str]:
    lines = [f"cameras {'frames/s':>9} {'least':>7} {'most':>7} {'age p50':>9} {'p95':>7}  ms"]
    lines += [
        f"{c.cameras:7} {c.frames_per_s:9.2f} {c.least_fps:7.2f} {c.most_fps:7.2f}"
        f" {c.age_p50_ms:9.1f} {c.age_p95_ms:7.1f}"
        for c in cameras
    ]
    lines.append(
        "30 decoded frames/s each; least and most: of one camera; age: as inference begins"
    )
    return lines


def batch_lines(batches: Sequence[Batch]) -> list[str]:
    lines = [f"{'pictures at once':22} {'p50':>9} {'p95':>9} {'mean':>9}  ms a picture, forward"]
    lines += [f"{batch.size:<22} {_three(batch.per_picture)}" for batch in batches]
    return lines


def versus_lines(versus: Versus) -> list[str]:
    names = {
        "preprocess": "pre",
        "postprocess": "post",
        "pre_and_post": "pre+post",
        "whole_frame": "whole",
    }
    columns = [names.get(figure, figure) for figure in FIGURES]
    lines = [
        f"medians in ms, {versus.threads} threads a side; post: 20 constructed objects",
        f"{'':26} {''.join(f'{column:>10}' for column in columns)} {'found':>6} {'RSS MiB':>8}",
    ]
    for side in versus.sides:
        row = "".join(f"{value:10.2f}" for value in _values(side.figures))
        name = f"{side.name} {_short(side.precision)}"
        lines.append(f"{name:26} {row} {side.found:6} {side.rss_mib:8.0f}")
    lines += ["", "ours / theirs"]
    for side in versus.sides[1:]:
        row = "".join(f"{value:10.3f}" for value in _values(side.ours_to_this))
        name = f"{side.name} {_short(side.precision)}"
        lines.append(f"{name:26} {row}")
    versions = {k: v for side in versus.sides for k, v in side.versions.items() if k != "torch"}
    torches = sorted({side.versions["torch"] for side in versus.sides})
    shown = [f"{name} {version}" for name, version in versions.items()]
    lines.append(", ".join([*shown, *(f"torch {version}" for version in torches)]))
    lines += [f"{name}: no figures, {reason}" for name, reason in versus.failed.items()]
    return lines


def other_work_lines(cores: float) -> list[str]:
    return [f"other processes used {cores:.2f} cores meanwhile"]


def _values(figures: Figures) -> list[float]:
    return [getattr(figures, figure) for figure in FIGURES]


def _short(precision: str) -> str:
    return {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}.get(precision, precision)


def _three(spread: Spread) -> str:
    return f"{spread.p50_ms:9.2f} {spread.p95_ms:9.2f} {spread.mean_ms:9.2f}"
