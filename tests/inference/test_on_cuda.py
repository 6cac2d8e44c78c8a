"""The CUDA path on a GPU. Without one, test_frame_pass.py and test_cuda_pipeline.py have to do."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from daemon_process import running, write_config
from mosquitto import HOST, Subscriber, free_port

if not torch.cuda.is_available():
    pytest.skip("torch finds no CUDA device", allow_module_level=True)

sys.path += [str(Path(__file__).parents[1] / "rfdetr"), str(Path(__file__).parents[2] / "bench")]
import cuda_proofs as proofs
from official_layout import GOLDEN_CASES, network_input, official_tensors, picture

from edge.bench.scene import scene
from edge.demo_broker import DemoBroker
from edge.frame import Image
from edge.inference.cuda_pipeline import fast_kernels
from edge.inference.device import is_out_of_memory
from edge.inference.engine import Engine
from edge.model_source import DEMO_CHECKPOINT, DEMO_ID
from edge.report import EXIT_OUT_OF_MEMORY, report
from edge.rfdetr.checkpoint import Checkpoint, build_model
from edge.rfdetr.convert import convert
from edge.rfdetr.labels import COCO_NAMES
from edge.rfdetr.variants import VARIANTS

GOLDEN = Path(__file__).parents[1] / "rfdetr" / "golden"
PRECISIONS = [torch.float16, torch.bfloat16, torch.float32]
FULL_HD = (1920, 1080)


@pytest.fixture(scope="module")
def frames() -> list[Image]:
    """Three different ones, so that neither slot sees the same frame twice in a row."""
    return scene(FULL_HD, seed=7)[:9:4]


@pytest.fixture(scope="module", params=PRECISIONS, ids=str)
def engine(request: pytest.FixtureRequest) -> Engine:
    return proofs.engine_of(proofs.model_named(DEMO_ID), request.param)


@pytest.fixture(autouse=True)
def _device_as_found() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_objects_are_those_of_the_cpu_in_float32(precision, frames):
    model, threshold = proofs.model_named(DEMO_ID), 0.4
    on_cpu = proofs.engine_of(model, torch.float32, "cpu", threshold)
    expected = proofs.through(on_cpu, frames)
    on_cuda = proofs.engine_of(model, precision, threshold=threshold)
    found = proofs.through(on_cuda, frames)
    assert sum(map(len, expected)) > 3
    assert list(map(proofs.unlike_by_detections, found, expected)) == [None] * len(frames)


@pytest.mark.parametrize("case", ["rfdetr-seg-nano", "rfdetr-seg-preview", "rfdetr-seg-xlarge"])
def test_float32_is_the_official_network_slot_by_slot(case):
    """Fails where products are rounded to TF32, which would swap slots."""
    name, resolution, ranking_seed = GOLDEN_CASES[case]
    variant = VARIANTS[name]
    state = convert(official_tensors(name, ranking_seed=ranking_seed), variant, resolution)
    model = build_model(Checkpoint(Path(), "", variant, resolution, COCO_NAMES, state))
    engine = proofs.engine_of(model, torch.float32)
    with torch.inference_mode(), fast_kernels():
        output = engine.model(network_input(picture(), resolution).to(engine.device))
        masks = engine.model.masks(output.states, output.pixels)[0].flatten(1).cpu()
    golden = np.load(GOLDEN / f"{case}.npz")
    np.testing.assert_allclose(output.logits[0].cpu(), golden["logits"], atol=1e-3)
    np.testing.assert_allclose(output.boxes[0].cpu(), golden["boxes"], atol=1e-4)
    np.testing.assert_allclose(masks[:, golden["mask_positions"]], golden["mask_logits"], atol=1e-3)


def test_replay_equals_the_eager_pass_bit_for_bit(engine, frames):
    assert proofs.replay_unlike_eager(engine, [*frames, *frames]) is None


def test_frames_do_not_look_alike_to_the_proof(engine, frames):
    one, two, three = proofs.through(engine, frames)
    assert proofs.unlike(one, two)
    assert proofs.unlike(two, three)


def test_nothing_but_one_event_is_waited_for(engine, frames):
    with proofs.no_host_syncs():
        for _ in range(67):
            assert len(proofs.through(engine, frames)) == len(frames)


def test_the_proof_of_it_notices_a_wait(engine):
    with proofs.no_host_syncs(), pytest.raises(RuntimeError, match="synchroniz"):
        torch.ones(1, device=engine.device).item()


def test_a_thousand_frames_allocate_nothing(engine, frames):
    proofs.through(engine, frames)
    assert proofs.moved_counters(engine, frames, 1000) is None


def test_the_proof_of_it_notices_an_allocation(engine, frames):
    with proofs.eagerly(engine):
        assert "allocation.all.allocated" in str(proofs.moved_counters(engine, frames, 3))


def test_every_copy_is_from_or_to_pinned_memory(engine):
    assert proofs.unpinned(engine) == []
    assert len(proofs.pipeline_of(engine)._slots) == 2


def test_weights_are_swapped_in_place(engine, frames):
    assert proofs.swapped_weights_unlike_eager(engine, frames) is None


def test_capture_beside_threads_that_use_cuda(frames):
    for _ in range(3):
        model = proofs.model_named(DEMO_ID)
        assert proofs.capture_beside_others(model, torch.float16, frames) is None


def test_another_model_warms_up_beside_the_one_that_runs(frames):
    """As a reload does, in a thread of its own; and gives its memory back."""
    running = proofs.engine_of(proofs.model_named(DEMO_ID), torch.float16)
    expected = proofs.through(running, frames)
    held = torch.cuda.memory_reserved()
    unlike: list[str | None] = []
    failures: list[BaseException] = []

    def warm_up() -> None:
        try:
            coming = proofs.engine_of(proofs.model_named(DEMO_ID), torch.float16)
            unlike.extend(map(proofs.unlike, proofs.through(coming, frames), expected))
            assert proofs.pipeline_of(coming).replays
            coming.close()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=warm_up)
    thread.start()
    while thread.is_alive():
        unlike.extend(map(proofs.unlike, proofs.through(running, frames), expected))
    assert not failures
    assert set(unlike) == {None}
    assert proofs.pipeline_of(running).replays
    assert torch.cuda.memory_reserved() <= held


def test_an_antialiased_resize_has_a_graph_for_each_size(frames):
    engine = proofs.engine_of(proofs.model_named(DEMO_ID), torch.float16, resize="antialias")
    small = scene((640, 360), seed=7)[:3]
    assert proofs.replay_unlike_eager(engine, [*frames, *small, *frames]) is None
    assert [len(slot.graphs) for slot in proofs.pipeline_of(engine)._slots] == [2, 2]


def test_frames_larger_than_expected_get_larger_buffers(engine, frames):
    before = proofs.through(engine, frames)
    large = scene((2560, 1440), seed=7)[:2]
    engine.submit(frames[0])
    engine.submit(large[0])
    assert proofs.unlike(engine.harvest()[0], before[0]) is None
    assert engine.harvest()[0].frame_size == (1440, 2560)
    assert proofs.replay_unlike_eager(engine, [*large, *frames]) is None
    assert list(map(proofs.unlike, proofs.through(engine, frames), before)) == [None] * 3


def test_a_full_device_ends_the_daemon_with_its_own_exit_code(tmp_path):
    run = proofs.run_short_of_memory(tmp_path)
    assert run.returncode == EXIT_OUT_OF_MEMORY, run.stderr
    assert run.stderr.count("out of device memory") == 1, "tried again"
    assert "Traceback" not in run.stderr


def test_a_device_that_fills_up_in_the_loop_is_said_to_be_full(frames, capsys):
    engine = proofs.engine_of(proofs.model_named(DEMO_ID), torch.float16)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    with pytest.raises(RuntimeError) as full:
        engine.submit(np.zeros((3000, 4000, 3), np.uint8))
    assert is_out_of_memory(full.value)
    assert report(full.value) == EXIT_OUT_OF_MEMORY
    assert "out of device memory" in capsys.readouterr().err


def test_the_daemon_publishes_from_a_gpu(tmp_path):
    broker = DemoBroker(free_port())
    port = broker.start()
    config = write_config(
        tmp_path,
        port,
        [{"id": "dock", "source": "shapes:?seed=7&objects=5&min_size=40"}],
        model={"path": str(DEMO_CHECKPOINT), "confidence": 0.45, "device": "cuda"},
    )
    try:
        with (
            Subscriber(HOST, port, "rfdetr-edge/#") as subscriber,
            running("run", "-c", str(config)) as daemon,
        ):
            daemon.wait_for_line("on cuda:0 in float16", 120)
            messages = []
            for _ in range(5):
                subscriber.clear()
                messages.append(subscriber.wait_for("rfdetr-edge/test/dock/frame"))
            assert daemon.stop() == 0
        assert any(b'"bbox"' in message for message in messages)
    finally:
        broker.stop()
