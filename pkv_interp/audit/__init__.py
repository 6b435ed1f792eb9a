"""Records of others, read again: what a record says about its own numbers, and what it leaves open.

Each check looks at fields that have one meaning under several names, and returns findings. A finding says
where a number needs care; it does not say that anybody was wrong.
"""

from pkv_interp.audit.checks import Audited, audit
from pkv_interp.audit.document import Record, Unread, read_folder
from pkv_interp.audit.finding import KINDS, Checked, Finding
from pkv_interp.audit.pair_fields import PairGroup, control_fields, pair_groups
from pkv_interp.audit.ranking import KnownRanking

__all__ = [
    "KINDS",
    "Audited",
    "Checked",
    "Finding",
    "KnownRanking",
    "PairGroup",
    "Record",
    "Unread",
    "audit",
    "control_fields",
    "pair_groups",
    "read_folder",
]
