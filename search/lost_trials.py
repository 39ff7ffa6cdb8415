"""Trials whose worker is gone: told as failed, and their candidates set again for whoever comes next."""

from __future__ import annotations

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.candidate_space import CandidateSpace
from search.place import Place, Shared
from search.propose import trial_parameters
from search.trials import INTERRUPTED, KILLED, REASON, WORKER, candidate_of
from search.worker_locks import forget_worker

DEATHS = 3  # of workers, all at the same candidate: it is at fault


def retry_lost_trials(study: Study, shared: Shared, place: Place, space: CandidateSpace, *, begins: bool) -> None:
    """Tells what dead workers left running as failed, and sets each candidate again.

    Called while the study is held for the next proposal. What is found when a search begins was interrupted, and is
    tried again for as often as that happens. A candidate at which `DEATHS` workers died while others went on is not:
    it has failed.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get(WORKER)
        # A trial without a worker was being proposed, by who held the study before us and is gone.
        if worker is not None and not shared.is_dead(study, trial, worker):
            continue
        candidate = candidate_of(trial)
        deaths = 1 + _deaths(study, trial)
        failed = not begins and candidate is not None and deaths >= DEATHS
        reason = INTERRUPTED if begins else f"{deaths} workers died at it" if failed else KILLED
        try:
            study._storage.set_trial_user_attr(trial._trial_id, REASON, reason)
        except UpdateFinishedTrialError:  # told after all, between our looking at the trial and at its worker
            continue
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        if candidate is not None and not failed:
            study.enqueue_trial(trial_parameters(candidate, space))
        if worker is not None:
            forget_worker(place.journal, study.study_name, worker)


def _deaths(study: Study, trial: FrozenTrial) -> int:
    """How many workers have died at the candidate of a trial before."""
    candidate = candidate_of(trial)
    killed = (
        other
        for other in study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        if other.user_attrs.get(REASON) == KILLED
    )
    return sum(candidate_of(other) == candidate for other in killed)
