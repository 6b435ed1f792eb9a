"""Controls of the serving experiment: what must hold of every answer, or the run is an error."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.serving.faults import FaultFound
from experiments.serving.latency import Updates
from experiments.serving.load import LoadRun
from experiments.serving.scored import Served
from experiments.serving.settings import ServingSettings
from pkv_interp.tolerances import tolerance_of

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


def allowed_error(session: "Session[ServingSettings]") -> float:
    """Difference of a log-probability up to which the server computes what the model does."""
    return max(session.tolerance.logits, tolerance_of(session.settings.precision).logits)


def check_answers(session: "Session[ServingSettings]", answers: Sequence[Served]) -> None:
    """Stop where the server does not say what the model says, before anything is timed.

    Args:
        session: of the run.
        answers: of every arm, in calm.

    Raises:
        ControlFailure: one differs, tells too little, or is not served from the cache that it named.
    """
    n = f"{len(answers)} answers in calm, every arm"
    unserved = sum(bool(one.in_full or one.failed) for one in answers)
    session.control("served_in_calm", float(unserved), 0.0, 0.0, f"not answered, or cache not used, of {n}")
    untold = sum(one.error is None for one in answers)
    session.control("log_probabilities_told", float(untold), 0.0, 0.0, f"answers without one, of {n}")
    worst = max((one.error for one in answers if one.error is not None), default=0.0)
    detail = f"log-probabilities of the server and of the model, after the same columns, {n}"
    session.control("server_says_what_model_says", worst, 0.0, allowed_error(session), detail)


def check_runs(session: "Session[ServingSettings]", runs: Sequence[LoadRun]) -> None:
    """Requests and counters tell the same, and everything was answered, from what was named.

    Args:
        session: of the run.
        runs: at capacity and under load.

    Raises:
        ControlFailure: one of these does not hold.
    """
    answers = [one for run in runs for one in run.requests]
    n = f"{len(answers)} requests under load"
    off = max(run.told.off_by(run.counters) for run in runs)
    detail = f"tokens by requests and by the server's counters, worst share of {len(runs)} runs"
    session.control("hits_equal_counters", off, 0.0, 0.001, detail)
    unserved = sum(bool(one.in_full or one.failed) for one in answers)
    session.control(
        "served_under_load", float(unserved), 0.0, 0.0, f"not answered, or cache not used, of {n}"
    )
    told = [one.error for one in answers if one.error is not None]
    # Over no log-probability it would always hold: then it is not made, and `told_under_load` ends the run.
    if told:
        detail = f"log-probabilities of {len(told)} of {n}"
        session.control("same_under_load", max(told), 0.0, allowed_error(session), detail)


def check_faults(session: "Session[ServingSettings]", found: Sequence[FaultFound]) -> None:
    """Nothing wrong was served, everybody had an answer in the end, and the faults were there.

    Args:
        session: of the run.
        found: of every fault.

    Raises:
        ControlFailure: one of these does not hold.
    """
    asked = sum(one.asked for one in found)
    detail = f"of {asked} answers around {len(found)} kinds of faults"
    session.control("nothing_wrong_served", float(sum(f.wrong for f in found)), 0.0, 0.0, f"wrong, {detail}")
    unchecked = sum(one.unchecked for one in found)
    session.control("faults_checked", float(unchecked), 0.0, 0.0, f"that told no log-probability, {detail}")
    unanswered = [one for one in found if one.answered < one.asked]
    missing = sum(one.asked - one.answered for one in unanswered)
    why = "; ".join(f"{one.told}: {', '.join(one.failed)}" for one in unanswered)
    told = f"without an answer in the end, {detail}" + (f" ({why})" if why else "")
    session.control("answered_in_the_end", float(missing), 0.0, 0.0, told)
    hidden = sum(not one.happened for one in found)
    session.control("faults_happened", float(hidden), 0.0, 0.0, f"that did not show, of {len(found)} faults")


def check_updates(session: "Session[ServingSettings]", found: Sequence[Updates]) -> None:
    """Every single update was served as it was asked for.

    Args:
        session: of the run.
        found: by length.

    Raises:
        ControlFailure: one was not, or is not what the model says.
    """
    updates = [one for case in found for one in case.methods.values()]
    failed = sum(bool(one.failed) for one in updates)
    session.control("updates_served", float(failed), 0.0, 0.0, f"not answered so, of {len(updates)} updates")
    told = [one.error for one in updates if one.error is not None]
    if told:  # else `told_in_updates` ends the run
        detail = f"log-probabilities of {len(told)} single updates"
        session.control("updates_exact", max(told), 0.0, allowed_error(session), detail)
