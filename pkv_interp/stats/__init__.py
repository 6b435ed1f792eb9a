"""Estimates with intervals by family, tests of equivalence and of many sites at once."""

from pkv_interp.stats.bootstrap import difference, mean, ratio_of_means, ratios_of_means
from pkv_interp.stats.crossing import first_crossing
from pkv_interp.stats.equivalence import Equivalence, tost
from pkv_interp.stats.estimate import Estimate
from pkv_interp.stats.multiple import MaxT, holm, max_t
from pkv_interp.stats.paired import Pair, pairwise
from pkv_interp.stats.rank import jaccard_stability, rank_correlation, site_spearman
from pkv_interp.stats.resampling import Resampling, ResamplingOptions

__all__ = [
    "Equivalence",
    "Estimate",
    "MaxT",
    "Pair",
    "Resampling",
    "ResamplingOptions",
    "difference",
    "first_crossing",
    "holm",
    "jaccard_stability",
    "max_t",
    "mean",
    "pairwise",
    "rank_correlation",
    "ratio_of_means",
    "ratios_of_means",
    "site_spearman",
    "tost",
]
