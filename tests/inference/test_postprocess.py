"""Selection ranks and scales as the official post-processing does."""

import torch

from edge.inference.postprocess import frame_scale, select
from edge.rfdetr.model import Output

CPU = torch.device("cpu")


def output(logits: list[list[float]], boxes: list[list[float]]) -> Output:
    masks = torch.arange(len(boxes)).float()[:, None, None].expand(-1, 4, 4)
    return Output(torch.tensor([logits]), torch.tensor([boxes]), masks[None])


BOX = [0.5, 0.5, 0.2, 0.4]


def test_best_pairs_come_first_and_a_query_may_come_twice():
    found = select(
        output([[0.0, 3.0], [2.0, 1.0]], [BOX, BOX]), frame_scale(100, 200, CPU), count=2
    )
    assert found.row.tolist() == [1, 0]
    assert found.mask_logits[:, 0, 0].tolist() == [0, 1]
    both = select(output([[5.0, 4.0], [2.0, 1.0]], [BOX, BOX]), frame_scale(9, 9, CPU), count=2)
    assert both.mask_logits[:, 0, 0].tolist() == [0, 0]


def test_equal_scores_rank_by_query_then_row():
    found = select(
        output([[1.0, 1.0], [1.0, 1.0], [1.0, 2.0]], [BOX] * 3), frame_scale(9, 9, CPU), count=3
    )
    assert found.mask_logits[:, 0, 0].tolist() == [2, 0, 0]
    assert found.row.tolist() == [1, 0, 1]


def test_scores_are_sigmoids():
    found = select(output([[0.0]], [BOX]), frame_scale(9, 9, CPU), count=1)
    assert found.score.tolist() == [0.5]


def test_boxes_are_in_frame_pixels_and_clamped_to_the_frame():
    boxes = [[0.5, 0.5, 0.2, 0.4], [0.0, 1.0, 0.2, 0.4], [0.5, 0.5, -0.2, 0.4]]
    found = select(output([[3.0], [2.0], [1.0]], boxes), frame_scale(100, 200, CPU), count=3)
    expected = torch.tensor([[80.0, 30, 120, 70], [0, 80, 20, 100], [100, 30, 100, 70]])
    torch.testing.assert_close(found.box, expected)


def test_never_more_pairs_than_queries():
    assert len(select(output([[0.0, 1.0]], [BOX]), frame_scale(9, 9, CPU), count=100).score) == 1
