import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.measure.decision import (
    kl_divergence,
    token_margin,
)
from pkv_interp.measure.distance import cosine_distance, relative_l2


def test_margin_is_first_minus_second_in_float32() -> None:
    logits = torch.tensor([[1.0, 4.0, 2.5], [3.0, 0.0, -1.0]], dtype=torch.bfloat16)
    margin = token_margin(logits, (1, 2))
    assert margin.dtype == torch.float32
    assert margin.tolist() == [1.5, 1.0]
    assert token_margin(logits.double(), (2, 1)).dtype == torch.float64


@pytest.mark.parametrize("action_ids", [(1, 1), (0, 3), (-1, 0)])
def test_margin_refuses_impossible_actions(action_ids: tuple[int, int]) -> None:
    with pytest.raises(PkvError, match="token ids"):
        token_margin(torch.zeros(2, 3), action_ids)


def test_kl_known_answer_and_direction() -> None:
    p = torch.tensor([0.5, 0.5]).log()
    q = torch.tensor([0.9, 0.1]).log()
    expected = 0.5 * torch.log(torch.tensor(0.5 / 0.9)) + 0.5 * torch.log(torch.tensor(0.5 / 0.1))
    assert kl_divergence(q, reference=p).item() == pytest.approx(expected.item(), rel=1e-6)
    assert kl_divergence(q, p).item() != pytest.approx(kl_divergence(p, q).item(), rel=0.1)


def test_kl_ignores_a_shared_shift_and_is_never_negative() -> None:
    logits = torch.randn(4, 50) * 5
    assert kl_divergence(logits + 100.0, logits).abs().max().item() < 1e-8
    assert (kl_divergence(logits, logits) >= 0).all()
    with pytest.raises(PkvError, match="vocabularies"):
        kl_divergence(torch.zeros(3), torch.zeros(4))


def test_deviations_known_answers() -> None:
    before = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    after = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    assert cosine_distance(after, before).tolist() == [0.0, 1.0, 2.0, 0.0, 1.0]
    relative = relative_l2(after, before)
    assert relative[:4].tolist() == pytest.approx([0.0, 5.0**0.5, 4.0, 0.0])
    assert relative[4].item() == float("inf")


def test_deviations_of_equal_vectors_are_exactly_zero() -> None:
    x = torch.randn(100, 64, dtype=torch.bfloat16)
    assert cosine_distance(x, x.clone()).abs().max().item() == 0.0
    assert relative_l2(x, x.clone()).abs().max().item() == 0.0
    with pytest.raises(PkvError, match="shapes"):
        cosine_distance(x, x[:50])
