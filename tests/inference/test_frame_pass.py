"""What can be proven without a GPU about the pass that a CUDA graph is captured from.

A graph replays one list of kernels over fixed addresses. So the list of operators must not depend
on what a frame shows, nor on its size; nothing in it may look at a value, or bring one from the
host; and CUDA is stricter about dtypes than the CPU.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from edge.detections import Detections
from edge.inference.cpu_pipeline import CpuPipeline
from edge.inference.frame_pass import FramePass
from edge.inference.postprocess import select
from edge.inference.preprocess import frame_table
from edge.model_source import DEMO_CHECKPOINT
from edge.rfdetr.checkpoint import build_model, load_checkpoint
from edge.rfdetr.labels import COCO_ROWS
from edge.rfdetr.model import RFDETRSeg
from edge.rfdetr.variants import VARIANTS

SIZE = (360, 640)
SIZES = [SIZE, (1080, 1920), (64, 48), (720, 405)]
PIXELS = 1080 * 1920  # of a buffer that holds a frame of any of them
PRECISIONS = [torch.float32, torch.float16, torch.bfloat16]

# Operators that are no views, counted with torch 2.13 on the CPU, and 5 % for other versions'
# ways of putting one together. On CUDA each is at least one kernel, and each kernel is a launch
# or a node of the graph: a change that needs more of them should know that it does.
MOST_OPERATORS = {"rfdetr-seg-demo": 253, "rfdetr-seg-nano": 395}  # 241, 377
FREE = ("aten._unsafe_view.", "aten.empty.", "prim.")  # they start no kernel

READS_A_VALUE = ("_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "equal.")
FROM_THE_HOST = ("lift_fresh", "scalar_tensor", "aten.tensor.")


class Operator(NamedTuple):
    name: str
    is_view: bool
    inputs: tuple[tuple[torch.Size, torch.dtype, str], ...]  # shape, dtype, device type
    outputs: tuple[tuple[torch.Size, torch.dtype, str], ...]
    device: str | None  # of the result, where the call names it


class Recorder(TorchDispatchMode):
    """Notes every operator that is run."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[Operator] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        device = (kwargs or {}).get("device")
        self.operators.append(
            Operator(
                str(function),
                function.is_view,
                _tensors((args, kwargs)),
                _tensors(out),
                device and torch.device(device).type,
            )
        )
        return out


def _tensors(tree: Any) -> tuple[tuple[torch.Size, torch.dtype, str], ...]:
    return tuple(
        (leaf.shape, leaf.dtype, leaf.device.type)
        for leaf in tree_leaves(tree)
        if isinstance(leaf, Tensor)
    )


def recorded(function: Callable[[], object]) -> list[Operator]:
    # Not inference_mode, which hides what composite operators are made of.
    with torch.no_grad(), Recorder() as recorder:
        function()
    return recorder.operators


def offences(operators: list[Operator], device: str) -> list[str]:
    """The operators that a capture would not survive, or that would stall it, each with why."""
    found = []
    for operator in operators:
        name, inputs = operator.name, operator.inputs
        if any(part in name for part in READS_A_VALUE):
            found.append(f"{name} reads a value")
        if any(part in name for part in FROM_THE_HOST):
            found.append(f"{name} brings a value from the host")
        takes_a_mask = any(dtype == torch.bool for _, dtype, _ in inputs)
        if name.startswith(("aten.index.", "aten.index_put")) and takes_a_mask:
            found.append(f"{name} takes a mask: its shape depends on the data")
        others = {kind for _, _, kind in inputs + operator.outputs} - {device}
        if others or operator.device not in (None, device):
            found.append(f"{name} touches {', '.join(sorted(others)) or operator.device}")
    return found


def demo_pass(precision: torch.dtype = torch.float32, resize: str = "plain") -> FramePass:
    checkpoint = load_checkpoint(DEMO_CHECKPOINT)
    model = build_model(checkpoint)
    model.set_precision(precision)
    return on_cuda_terms(model, resize)


def blank_pass(name: str, device: str) -> FramePass:
    """A variant without weights, on ``meta``, or with zeros for weights."""
    with torch.device("meta"):
        model = RFDETRSeg(VARIANTS[name], VARIANTS[name].resolution, COCO_ROWS)
    if device != "meta":
        zeros = {key: torch.zeros(t.shape, dtype=t.dtype) for key, t in model.state_dict().items()}
        model.load_state_dict(zeros, assign=True)
    return on_cuda_terms(model.requires_grad_(False).eval(), "plain").to(device)


def on_cuda_terms(model: RFDETRSeg, resize: str) -> FramePass:
    """The pass as `CudaPipeline` runs it: with its weights' memory in the order of cuDNN."""
    frame_pass = FramePass(model, resize, torch.full((model.rows,), 0.3), 100)
    return frame_pass.to(memory_format=torch.channels_last)


def inputs(
    frame_pass: FramePass, size: tuple[int, int] = SIZE, seed: int = 0
) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """A buffer of noise, the frame's table and its size."""
    noise = np.random.default_rng(seed).integers(0, 256, (PIXELS, 3), np.uint8)
    return torch.from_numpy(noise), frame_table(*size, frame_pass.model.resolution), size


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("offence", "why"),
    [
        (lambda x: x + torch.tensor([1.0, 2.0]), "from the host"),
        (lambda x: x[[1, 0]] + x.new_tensor([1.0, 2.0]), "from the host"),
        (lambda x: x if x.sum() > 0 else -x, "reads a value"),
        (lambda x: x * x.max().item(), "reads a value"),
        (lambda x: x[x > 0], "takes a mask"),
        (lambda x: x.index_put((x > 0,), x[0]), "takes a mask"),
        (lambda x: x.to("meta"), "touches meta"),
        (lambda x: torch.zeros(2, device="meta"), "touches meta"),
    ],
)
def test_the_audit_notices(offence, why):
    x = torch.ones(2)
    assert any(why in found for found in offences(recorded(lambda: offence(x)), "cpu"))


@pytest.mark.parametrize("resize", ["plain", "antialias"])
def test_no_shape_depends_on_what_a_frame_shows(resize):
    frame_pass = demo_pass(resize=resize)
    with torch.no_grad():
        program = torch.export.export(frame_pass, inputs(frame_pass))
    assert program.range_constraints == {}
    shapes = [
        side
        for node in program.graph.nodes
        for value in tree_leaves(node.meta.get("val"))
        for side in (value.shape if isinstance(value, Tensor) else [value])
    ]
    assert len(shapes) > 1000
    assert {type(side) for side in shapes if side is not None} == {int}, "not a symbol among them"
    buffers = dict(frame_pass.named_buffers())
    assert set(program.constants) <= set(buffers), "a constant is made anew in every pass"


@pytest.mark.parametrize("resize", ["plain", "antialias"])
def test_different_frames_run_the_same_operators(resize):
    frame_pass = demo_pass(resize=resize)
    arguments = [inputs(frame_pass, seed=seed) for seed in range(3)]
    arguments[2][0].zero_()  # a frame in which nothing is found
    lists = [recorded(lambda a=a: frame_pass(*a)) for a in arguments]
    assert lists[0] == lists[1] == lists[2]
    assert offences(lists[0], "cpu") == []


def test_frames_of_different_sizes_run_the_same_operators():
    frame_pass = demo_pass()
    arguments = [inputs(frame_pass, size) for size in SIZES]
    lists = [recorded(lambda a=a: frame_pass(*a)) for a in arguments]
    assert all(operators == lists[0] for operators in lists[1:])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_tensors_on_the_device_take_part(precision):
    """On the meta device even a scalar tensor that stayed on the host is told apart."""
    frame_pass = blank_pass("rfdetr-seg-demo", "meta")
    frame_pass.model.set_precision(precision)
    pixels, table, size = inputs(frame_pass)
    pixels, table = pixels.to("meta"), table.to("meta")
    operators = recorded(lambda: frame_pass(pixels, table, size))
    assert len(operators) > 300
    assert offences(operators, "meta") == []


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_operators_get_the_dtypes_that_cuda_asks_for(precision):
    frame_pass = demo_pass(precision)
    arguments = inputs(frame_pass)
    operators = recorded(lambda: frame_pass(*arguments))

    def dtypes(*names: str) -> list[set[torch.dtype]]:
        found = [
            {dtype for _, dtype, _ in operator.inputs}
            for operator in operators
            if operator.name.split(".")[1] in names
        ]
        assert found, f"no {names} in the pass"
        return found

    # The meta device and the CPU let some mixtures pass that CUDA refuses.
    assert all(d == {torch.float32} for d in dtypes("grid_sampler_2d"))
    attention = "_scaled_dot_product_flash_attention_for_cpu"
    assert len(dtypes(attention)) == 7, "not by a fused kernel"  # 5 blocks, 2 decoder layers
    products = dtypes("addmm", "mm", "bmm", "baddbmm", "convolution", attention)
    assert all(len(d) == 1 for d in products)
    assert {torch.float32} in products
    assert {precision} in products
    assert all(len(d) == 1 for d in dtypes("native_layer_norm"))
    assert all(len(d) == 1 for d in dtypes("cat", "stack"))
    # Half precision has too few numbers to rank by, to place a box by or to sample by.
    exact = {torch.float32, torch.int64}
    assert all(d <= exact for d in dtypes("topk", "sigmoid", "exp", "sin", "cos", "_softmax"))
    heavy = [d for d in products if d == {precision}]
    assert len(heavy) > 0.8 * len(products), "most of the work is in the precision asked for"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_selection_and_heads_compute_in_float32(precision):
    frame_pass = demo_pass(precision)
    seen: dict[str, set[torch.dtype]] = {}

    def watch(name: str, layer: nn.Module) -> None:
        def note(_: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
            weights = {p.dtype for p in layer.parameters()}
            seen[name] = {args[0].dtype, out.dtype} | weights

        layer.register_forward_hook(note)

    for name, layer in frame_pass.model.named_modules():
        if isinstance(layer, (nn.Linear, nn.LayerNorm)):
            watch(name, layer)
    with torch.no_grad():
        result = frame_pass(*inputs(frame_pass))
    heads = [name for name in seen if name.startswith(("selection.", "class_head", "box_head"))]
    assert len(heads) == 10
    assert all(seen[name] == {torch.float32} for name in heads)
    assert all(seen[name] == {precision} for name in set(seen) - set(heads))
    assert result.fields.dtype == torch.float32
    assert result.masks.dtype == precision


def test_pieces_run_on_a_cuda_device_that_does_not_exist():
    """As far as a build without CUDA can pretend: indexing and sampling need a real one."""
    frame_pass = blank_pass("rfdetr-seg-demo", "meta")
    model = frame_pass.model
    model.set_precision(torch.float16)
    hidden, queries, cells = model.variant.hidden, model.variant.queries, model.segmentation.side**2
    taps = len(model.variant.taps) * model.variant.width
    with FakeTensorMode(), torch.no_grad():

        def cuda(*shape: int, dtype: torch.dtype = torch.float16) -> Tensor:
            return torch.empty(*shape, dtype=dtype, device="cuda")

        for part in model.modules():
            for name, tensor in part._parameters.items():
                if tensor is not None:
                    like = cuda(*tensor.shape, dtype=tensor.dtype)
                    part._parameters[name] = nn.Parameter(like, requires_grad=False)
        outputs = {
            "memory": model.projector(cuda(1, 18, 18, taps)),
            "masks": model.masks(cuda(1, queries, hidden), cuda(1, hidden, cells)),
            "classes": model.class_head(cuda(1, queries, hidden, dtype=torch.float32)),
        }
        exact = [
            cuda(*shape, dtype=torch.float32)
            for shape in ((queries, model.rows), (queries, 4), (4,), (model.rows,))
        ]
        outputs |= select(*exact, queries)._asdict()
    assert {tensor.device.type for tensor in outputs.values()} == {"cuda"}


@pytest.mark.parametrize("name", MOST_OPERATORS)
def test_number_of_operators(name):
    frame_pass = blank_pass(name, "cpu")
    arguments = inputs(frame_pass)
    operators = [
        operator.name
        for operator in recorded(lambda: frame_pass(*arguments))
        if not operator.is_view and not operator.name.startswith(FREE)
    ]
    assert 0.8 * MOST_OPERATORS[name] < len(operators) <= MOST_OPERATORS[name]


def test_no_weight_is_brought_into_another_order_in_every_pass():
    frame_pass = demo_pass(torch.float16)
    weights = {tuple(p.shape) for p in frame_pass.parameters() if p.dim() > 1}
    arguments = inputs(frame_pass)
    copies = [
        operator
        for operator in recorded(lambda: frame_pass(*arguments))
        if any(part in operator.name for part in ("aten.clone", "aten.copy_", "aten.contiguous"))
    ]
    assert [c for c in copies if tuple(c.inputs[0][0]) in weights] == []


@pytest.mark.parametrize("resize", ["plain", "antialias"])
def test_the_pass_finds_what_the_cpu_path_finds(demo_golden, resize):
    frame_pass, frame = demo_pass(resize=resize), demo_golden["frame_bgr"]
    cpu = CpuPipeline(frame_pass)
    cpu.submit(frame)
    expected: Detections = cpu.harvest()[0]
    buffer = torch.zeros(PIXELS, 3, dtype=torch.uint8)  # larger than the frame, as on CUDA
    buffer[: len(frame) * frame.shape[1]] = torch.from_numpy(frame).view(-1, 3)
    with torch.no_grad():
        fields, masks = frame_pass(buffer, frame_table(*SIZE, frame_pass.model.resolution), SIZE)
    kept = fields[:, 2] != 0
    assert 0 < len(expected) == int(kept.sum()) < len(fields)
    np.testing.assert_array_equal(fields[kept, 1], expected.class_id)
    np.testing.assert_allclose(fields[kept, 0], expected.score, atol=1e-6)
    np.testing.assert_allclose(fields[kept, 3:], expected.box, atol=1e-3)
    np.testing.assert_allclose(masks[kept], expected.mask_logits, atol=1e-4)
