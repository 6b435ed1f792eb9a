"""Rankings that the records of arXiv 2606.17107 do not show, but their protocol states."""

from pkv_interp.audit import KnownRanking

_OWN = "by its protocol {what} are ranked by their own effect on the instances that the score is over"

RANKINGS = (
    KnownRanking("mechd_specificity_", "/agg/topk", _OWN.format(what="the k positions")),
    KnownRanking("mechd_inject_", "/agg/dose", _OWN.format(what="the k injected positions")),
)
