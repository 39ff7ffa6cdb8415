"""Processor milliseconds of a proposal after 100, 1,000 and 20,000 finished trials, in memory, with 45 choices.

python -m benchmarks.proposal_cost
python -m benchmarks.proposal_cost --stages 80 --blocks 6 --finished 100 --samplers guided --output many_choices.json
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
import warnings
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from ofa.paths import write_json
from ofa.task import Score
from search.candidates.history import history_of
from search.candidates.limits import Limits
from search.candidates.optuna_internals import study_id
from search.candidates.space import Evaluation
from search.candidates.trials import ARCH, SCORES, distributions, trial_parameters
from search.device.standalone.machine import describe_machine
from search.samplers import evolution, guided, random
from search.study.driver_storage import DriverStorage
from search.study.plan import SearchPlan
from search.study.step import conclude, propose_step, set_next
from tests.search.scored import ACCURACY
from tests.search.synthetic import Oracle, block_space

SAMPLERS = {"random": random, "evolution": evolution, "guided": guided}


def milliseconds(sampler: str, oracle: Oracle, finished: int, proposals: int) -> float:
    """Returns the median of the processor milliseconds of a step, of guided the mean over whole batches."""
    largest = float(oracle.figures([oracle.space.largest])["latency_ms"][0])
    plan = SearchPlan(
        "s",
        oracle.candidates,
        oracle.candidate_figures,
        lambda candidate: Evaluation({ACCURACY.name: Score(oracle.accuracy(candidate.arch), 1)}, 0.0),
        finished + proposals,
        (ACCURACY,),
        Limits(({"latency_ms": 0.7 * largest},)),
        sampler=SAMPLERS[sampler],
    )
    storage = InMemoryStorage()
    study = optuna.create_study(study_name="s", storage=storage, directions=list(plan.objectives.values()))
    study.set_metric_names(list(plan.objectives))
    rng, known = np.random.default_rng(0), distributions(plan.space)
    for _ in range(finished):
        candidate = plan.space.sample(rng)
        figures = {name: float(values[0]) for name, values in plan.figures([candidate]).items()}
        parameters = trial_parameters(candidate, plan.space)
        score = oracle.accuracy(candidate.arch)
        trial = create_trial(
            state=TrialState.COMPLETE,
            values=[{**figures, ACCURACY.name: score}[name] for name in plan.objectives],
            params=parameters,
            distributions={name: known[name] for name in parameters},
            user_attrs={ARCH: candidate.arch.to_json(), SCORES: {}, **figures},
        )
        trial.datetime_complete = datetime.now()
        storage.create_new_trial(study_id(study), trial)
    driven = optuna.load_study(study_name="s", storage=DriverStorage(storage, study_id(study)))
    history_of(driven)
    spent: list[float] = []
    for _ in range(proposals):
        begin = time.process_time()
        history = history_of(driven)
        set_next(driven, plan, [], history)
        step = propose_step(driven, plan, history)
        if step.refused is None:
            future: Future[Evaluation] = Future()
            future.set_result(plan.evaluate(step.candidate))
            conclude(driven, plan, step, future)
        spent.append(1000 * (time.process_time() - begin))
    return statistics.mean(spent[1:]) if sampler == "guided" else statistics.median(spent[1:])


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finished", default="100,1000,20000")
    parser.add_argument("--proposals", type=int, default=21)
    parser.add_argument("--samplers", default="random,evolution,guided")
    parser.add_argument("--stages", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=4, help="the most of a stage; each has two choices")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/proposal_cost.json"))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    oracle, rows = Oracle(block_space(options.stages, options.blocks)), []
    for sampler in options.samplers.split(","):
        for finished in map(int, options.finished.split(",")):
            cost = milliseconds(sampler, oracle, finished, options.proposals)
            rows.append({"sampler": sampler, "finished": finished, "milliseconds": cost})
            print(f"{sampler}, {finished} finished: {cost:.1f} ms", flush=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit,
        "machine": describe_machine(),
        "choices": len(oracle.space.choices),
        "rows": rows,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, content)


if __name__ == "__main__":
    main()
