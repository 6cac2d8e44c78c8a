"""Selection ranks and scales as the official post-processing does."""

import torch

from edge.inference.postprocess import Selected, select

BOX = [0.5, 0.5, 0.2, 0.4]


def selected(
    logits: list[list[float]],
    count: int,
    boxes: list[list[float]] | None = None,
    size: tuple[int, int] = (100, 200),
    threshold: list[float] | None = None,
) -> Selected:
    height, width = size
    return select(
        torch.tensor(logits),
        torch.tensor(boxes or [BOX] * len(logits)),
        torch.tensor([width, height, width, height], dtype=torch.float32),
        torch.tensor(threshold or [0.0] * len(logits[0])),
        count,
    )


def test_best_pairs_come_first_and_a_query_may_come_twice():
    found = selected([[0.0, 3.0], [2.0, 1.0]], count=2)
    assert found.row.tolist() == [1, 0]
    assert found.query.tolist() == [0, 1]
    both = selected([[5.0, 4.0], [2.0, 1.0]], count=2)
    assert both.query.tolist() == [0, 0]


def test_equal_scores_rank_by_query_then_row():
    found = selected([[1.0, 1.0], [1.0, 1.0], [1.0, 2.0]], count=3)
    assert found.query.tolist() == [2, 0, 0]
    assert found.row.tolist() == [1, 0, 1]


def test_ranks_as_a_stable_sort_does():
    """Coarse logits, so that many sigmoids are equal, from 0.0 to 1.0."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        logits = torch.randint(-60, 60, (100, 91), generator=generator).float() * 2
        found = selected(logits.tolist(), count=100)
        ranked, index = torch.sort(logits.sigmoid().flatten(), descending=True, stable=True)
        assert torch.equal(found.score, ranked[:100])
        assert torch.equal(found.query * 91 + found.row, index[:100])


def test_scores_are_sigmoids():
    assert selected([[0.0]], count=1).score.tolist() == [0.5]


def test_kept_is_what_scores_above_its_rows_threshold():
    found = selected([[2.0, 0.0], [1.0, -1.0], [0.0, -2.0]], count=3, threshold=[0.7, 0.5])
    assert found.score.tolist()[2] == 0.5
    assert list(
        zip(found.query.tolist(), found.row.tolist(), found.kept.tolist(), strict=True)
    ) == [
        (0, 0, True),
        (1, 0, True),
        (0, 1, False),
    ]


def test_a_score_that_is_not_a_number_is_not_kept():
    found = selected([[float("nan")], [3.0]], count=2)
    assert found.query[found.kept].tolist() == [1]


def test_boxes_are_in_frame_pixels_and_clamped_to_the_frame():
    boxes = [[0.5, 0.5, 0.2, 0.4], [0.0, 1.0, 0.2, 0.4], [0.5, 0.5, -0.2, 0.4]]
    found = selected([[3.0], [2.0], [1.0]], 3, boxes)
    expected = torch.tensor([[80.0, 30, 120, 70], [0, 80, 20, 100], [100, 30, 100, 70]])
    torch.testing.assert_close(found.box, expected)


def test_never_more_pairs_than_queries():
    assert len(selected([[0.0, 1.0]], count=100).score) == 1
