"""A model of the model: the margin of an edited cache, told from the two plain prompts alone.

At the decision token a head puts out its weights times the values that it reads. A column that is put in
has another key, so the head weighs it differently, and another value. With the query held fixed both follow
in closed form from the two plain caches; what later blocks make of the head's output is taken to first order.
The sum over heads of change times slope is what an edit drives the margin by. Putting in every column drives
it all the way, so the quotient predicts the recovery, and between the margins of the two prompts the margin.

What this leaves out is what the prediction can fail by: queries that change because earlier heads read
something else, blocks that are not linear, and columns that are computed again over stale ones and so are no
plain prompt's.

The toy that was published (arXiv 2606.17107, `toy_model.json`) is one head over field, notes and sink: there
the recovery is the share of the attention, among field and notes, that falls on what was put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor

from pkv_interp.engine import Engine, Prefill
from pkv_interp.errors import PkvError
from pkv_interp.measure.pairs import PairRun
from pkv_interp.models.spec import ModelSpec

#: What the two prompts of a pair must have been run with.
CAPTURE = frozenset({"attention", "queries"})


@torch.no_grad()
def outputs_over(
    spec: ModelSpec,
    base: Prefill,
    donor: Prefill,
    put_in: Sequence[int] = (),
    hidden: Sequence[int] = (),
) -> Float[Tensor, "L H d_head"]:
    """What every head would put out at the decision token over an edited cache, its query held fixed.

    Args:
        spec: of the model.
        base: run with ``CAPTURE``; its queries ask.
        donor: of the same length.
        put_in: positions whose keys and values are the donor's.
        hidden: positions that the decision token may not see.

    Raises:
        PkvError: something was not captured.
    """
    attn, queries, own = base.need("attn"), base.need("queries"), base.need("own_values")
    at = torch.tensor(list(put_in), dtype=torch.long, device=attn.device)
    unseen = torch.tensor(list(hidden), dtype=torch.long, device=attn.device)
    group = spec.n_heads // spec.n_kv_heads
    found = []
    for layer in range(spec.n_layers):
        query = queries[layer][:, -1].double()
        moved = [
            _scores(query, one.cache.keys[layer][0][:, at].double(), spec, layer) for one in (base, donor)
        ]
        weights = attn[layer].double().clone()
        # What sinks take of the softmax is no column's, and stays.
        spare = (1.0 - weights.sum(-1)).clamp(min=0.0)
        weights[:, at] *= (moved[1] - moved[0]).exp()
        weights[:, unseen] = 0.0
        weights = weights / (weights.sum(-1) + spare)[:, None]
        values = torch.cat([base.cache.values[layer][0], own[layer][:, None]], 1).double()
        values[:, at] = donor.cache.values[layer][0][:, at].double()
        read = repeat(values, "kv t d -> (kv group) t d", group=group)
        found.append(torch.einsum("ht,htd->hd", weights, read))
    return torch.stack(found).float()


def _scores(
    query: Float[Tensor, "H d_head"], keys: Float[Tensor, "n_kv P d_head"], spec: ModelSpec, layer: int
) -> Float[Tensor, "H P"]:
    each = repeat(keys, "kv p d -> (kv group) p d", group=spec.n_heads // spec.n_kv_heads)
    scores = torch.einsum("hd,hpd->hp", query, each) * spec.anatomy.blocks[layer].scaling
    cap = spec.attention_softcap
    return scores if cap is None else cap * torch.tanh(scores / cap)


@dataclass(frozen=True, eq=False)
class MarginModel:
    """Predicts margins of a pair's corrupt prompt over edited caches.

    Attributes:
        spec: of the model.
        pair: run with ``CAPTURE``; clean columns are put into the corrupt prompt's cache.
        slopes: of the margin with respect to every head's output, the mean over both prompts.
        plain: heads' outputs over the corrupt prompt's own cache.
        whole: what putting in every column from the change on drives the margin by, in logits.
    """

    spec: ModelSpec
    pair: PairRun
    slopes: Float[Tensor, "L H d_head"]
    plain: Float[Tensor, "L H d_head"]
    whole: float

    @classmethod
    def of(cls, engine: Engine, pair: PairRun) -> MarginModel:
        """Two backward passes and one closed form.

        Raises:
            PkvError: something was not captured, or no column drives the margin.
        """
        actions = pair.case.action_ids
        ends = [
            engine.attribute(one, other, actions).head_slopes
            for one, other in ((pair.corrupt, pair.clean), (pair.clean, pair.corrupt))
        ]
        plain = outputs_over(engine.spec, pair.corrupt, pair.clean)
        model = cls(engine.spec, pair, (ends[0] + ends[1]) / 2.0, plain, 1.0)
        whole = model.drive(pair.changed + pair.notes)
        if whole == 0.0:
            raise PkvError(
                f"no column of {pair.case.instance} drives the margin",
                "leave out pairs whose two prompts give one answer",
            )
        return replace(model, whole=whole)

    def drive(self, put_in: Sequence[int] = (), hidden: Sequence[int] = ()) -> float:
        """First-order change of the corrupt prompt's margin, in logits.

        Args:
            put_in: positions whose columns are the clean prompt's.
            hidden: positions that the decision token may not see.
        """
        after = outputs_over(self.spec, self.pair.corrupt, self.pair.clean, put_in, hidden)
        return float((self.slopes * (after - self.plain)).sum())

    def margin(self, put_in: Sequence[int] = (), hidden: Sequence[int] = ()) -> float:
        """Predicted margin, in logits; arguments as for ``drive``."""
        return self.pair.corrupt_margin + self.drive(put_in, hidden) / self.whole * self.pair.gap

    def toy_margin(self, put_in: Sequence[int]) -> float:
        """What the published toy predicts: one head whose attention is the mean over all heads."""
        attn = self.pair.corrupt.need("attn").double().mean((0, 1))
        read = attn[list(self.pair.changed + self.pair.notes)].sum()
        share = float(attn[list(put_in)].sum() / read)
        return self.pair.corrupt_margin + share * self.pair.gap
