"""Finalists fine-tuned: of the measured candidates for each target, the best after a fine-tuning of all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from ofa.arch import Arch
from ofa.records import read_record
from search.candidates.metric_limits import meets_metrics, metric_limits_text
from search.candidates.search_files import Finalist, MeasuredTrial, TrialRow
from search.config.search import SearchRequest
from search.config.training import Finetuning
from search.run.cards import TunedCard
from search.run.locks import WAITS, evaluating
from search.run.paths import PrunedFolder
from search.run.progress import Update, say, stage_progress
from search.run.scores import MetricFacts, first, with_first
from search.run.stages import hash_of
from search.run.training_cards import TrainingStep
from search.study.plan import SearchPlan
from search.subnets.finalists import best_judged_anew, contenders, fits
from search.subnets.finetune import FinetuneSettings, MakeTeacher, finetune, finetune_settings
from search.subnets.finetune_stage import save_finetuned, taught_by
from search.subnets.measured_finalists import Bench
from search.text import limits_text
from search.training.loggers import MakeLoggers, no_loggers
from search.training.trained import Trained


@dataclass(frozen=True)
class FinalTuning:
    """How the finalists of a search are fine-tuned, all by the same recipe, from the supernet's weights.

    Attributes:
        recipe: the group `finetune` of the search.
        settings: made of it.
        teacher: makes the one that they learn from; None for none.
        seed: of their trainings.
    """

    recipe: Finetuning
    settings: FinetuneSettings
    teacher: MakeTeacher | None
    seed: int

    def digest(self, arch: Arch, trained: Trained) -> str:
        """Returns 16 hex digits of everything that determines the fine-tuned weights of a subnet."""
        decides = {
            "finetune": self.recipe.decides,
            "calibration": self.settings.calibration_images,
            "seed": self.seed,
            "data": trained.config["data"],
            "arch": arch.to_dict(),
        }
        return hash_of({**decides, "supernet": trained.digest})


def final_tuning(request: SearchRequest, trained: Trained) -> FinalTuning | None:
    """Returns how the finalists are fine-tuned; None where the request has no group `finetune`.

    Raises:
        InvalidInput: settings that cannot be used, or a supernet that was adopted, whose recipe is not known.
    """
    if request.finetune is None:
        return None
    settings = finetune_settings(request.finetune, None, trained, request.seed)
    settings = replace(settings, calibration_images=request.search.calibration_images)  # scores before are those found
    return FinalTuning(request.finetune, settings, taught_by(trained, settings), request.seed)


def tuned_finalists(
    finalists: Sequence[Finalist],
    measured: Mapping[Arch, Mapping[str, float]],
    rows: Sequence[TrialRow],
    plan: SearchPlan,
    bench: Bench,
    tuning: FinalTuning,
    loggers: MakeLoggers = no_loggers,
) -> list[Finalist]:
    """Returns the finalists, each the best in the objective after the fine-tuning of all candidates for its target.

    Candidates are those that were measured within the limits, at most `search.finalists.candidates`. Each network is
    kept in a folder of the search: finished ones are not trained again, an interrupted one resumes.

    Args:
        finalists: the choice before.
        measured: ms by figure of every Arch that was measured; they hold after the fine-tuning too.
        rows: the trials.
    """
    valid = [row for row in rows if row.scores and meets_metrics(row.scores, plan.metric_limits, plan.metrics)]
    top = bench.settings.candidates
    tried = [contenders(valid, each.target, measured, plan.metric, top, bench.file_bytes) for each in finalists]
    archs = list(dict.fromkeys(trial.arch for trials in tried for trial in trials))
    cards = dict[Arch, TunedCard]()
    with stage_progress("fine-tune") as update, evaluating(bench.run, WAITS):
        for number, arch in enumerate(archs):
            cards[arch] = _tuned(arch, bench, tuning, _Shown(update, number, len(archs)), loggers)

    def after(trial: MeasuredTrial, among: int) -> MeasuredTrial:
        tuned = _after(trial, tuning.digest(trial.arch, bench.trained), cards[trial.arch], plan.metric, among)
        return tuned if bench.file_bytes is None else structs.replace(tuned, file_bytes=bench.file_bytes(tuned))

    return [
        _best(finalist, [after(trial, len(trials)) for trial in trials], plan)
        for finalist, trials in zip(finalists, tried, strict=True)
    ]


@dataclass(frozen=True)
class _Shown:
    """Shows how far the fine-tuning of one of several subnets is."""

    update: Update
    number: int
    count: int

    def __call__(self, step: TrainingStep) -> None:
        share = step.step / max(1, step.total_steps)
        text = f"subnet {self.number + 1} of {self.count}, epoch {step.epoch} of {step.epochs}"
        self.update(round(100 * (self.number + share)), 100 * self.count, text)


def _tuned(arch: Arch, bench: Bench, tuning: FinalTuning, show: _Shown, loggers: MakeLoggers) -> TunedCard:
    """The card of a fine-tuned subnet, trained now unless it is there."""
    digest = tuning.digest(arch, bench.trained)
    files: PrunedFolder = bench.files.tuned(digest)
    if not files.card.is_file():
        made = loggers(digest)
        net = finetune(arch, bench.trained, tuning.settings, tuning.teacher, files.checkpoint, show, made)
        save_finetuned(net, arch, files)
    files.checkpoint.unlink(missing_ok=True)
    return read_record(files.card, TunedCard)


def _after(trial: MeasuredTrial, digest: str, card: TunedCard, metric: MetricFacts, among: int) -> MeasuredTrial:
    """A measured candidate with the scores of its fine-tuned weights."""
    assert card.raw is not None and card.gain is not None  # the card is of this stage
    same = math.isclose(first(trial.scores).value, card.raw.validation[metric.name].value, rel_tol=1e-6)
    change = card.scores.validation[metric.name].value - card.raw.validation[metric.name].value
    drawn = math.isclose(card.gain.validation.value, change, rel_tol=1e-6, abs_tol=1e-9)  # of this metric
    return structs.replace(
        trial,
        scores=with_first(card.scores.validation, metric.name),
        raw=trial.scores,
        gain=card.gain.validation if same and drawn else None,
        tuned=digest,
        among=among,
    )


def _best(finalist: Finalist, trials: Sequence[MeasuredTrial], plan: SearchPlan) -> Finalist:
    """The finalist with the candidate that is best after the fine-tuning, of those that keep the limits on metrics."""
    fitting = [trial for trial in trials if fits(trial, finalist.target)]
    if not fitting:
        say(f"search: warning: {limits_text(finalist.target)}: after the fine-tuning every file is larger")
    best, keeps = best_judged_anew(
        finalist, fitting or trials, lambda trial: trial.scores, plan.ordered_metrics, plan.metric_limits
    )
    if not keeps:
        say(
            f"search: warning: {limits_text(finalist.target) or 'no limit'}: after the fine-tuning no candidate has "
            f"{metric_limits_text(plan.metric_limits, plan.metrics)} any more; lower finetune.learning_rate"
        )
    return best
