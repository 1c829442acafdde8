"""How the deep model's settings were chosen: an Optuna study on the last slice of what comes before any test.

Each trial trains on 90 % of the first 90 % of a data set and is asked for what its users turned to in the rest of
those; nothing later is read. Trials that are behind after the first data set are not tried on the next. Prints a table,
then one JSON object. Run: OPENBLAS_NUM_THREADS=1 python -m benchmarks.study ml-100k kuairand --trials 20
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from rich.console import Console
from rich.table import Table

from batch_models import protocols
from batch_models.course import Job, Plan
from batch_models.dataset import Interactions
from batch_models.deep_ranker import Deep
from online_models.positives import DEFAULT, Positives
from reelstream import datasets
from reelstream.batch_evaluation import read
from schemas.events import DEFAULT_WEIGHTS

BEFORE_ANY_TEST = 0.9
POSITIVES = {"ml-100k": ["rating:80"]}
SEED = 1


def validation(name: str, data: Path, users: int) -> tuple[protocols.Questions, Positives]:
    """The slice of a data set, of so many users at most, drawn."""
    whole = read(datasets.find(name, data, print), None)
    whole = whole.where(whole.at <= np.quantile(whole.at, BEFORE_ANY_TEST))
    rules = Positives(POSITIVES.get(name, DEFAULT))
    return protocols.by_time(sampled(whole, users), rules), rules


def sampled(whole: Interactions, users: int) -> Interactions:
    if whole.user_count <= users:
        return whole
    return whole.of_users(np.sort(np.random.default_rng(SEED).choice(whole.user_count, users, replace=False)))


def suggested(trial: optuna.Trial) -> tuple[int, Plan]:
    """EMBEDDING_DIM and the rest."""
    return trial.suggest_categorical("embedding_dim", [64, 128, 192]), Plan(
        batch=trial.suggest_categorical("batch_size", [32, 64, 128]),
        rate=trial.suggest_float("learning_rate", 5e-4, 8e-3, log=True),
        id_dropout=trial.suggest_categorical("id_dropout", [0.0, 0.1, 0.2]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_sets", nargs="+")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--users", type=int, default=3_000, help="drawn of each data set")
    parser.add_argument("--examples", type=int, default=Plan.examples, help="places that a trial learns")
    parser.add_argument("--data", default=Path(".reelstream"), type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    slices = {name: validation(name, given.data, given.users) for name in given.data_sets}

    def figure(trial: optuna.Trial) -> float:
        """Mean over data sets of NDCG@10, each as a share of what popularity has there."""
        dim, plan = suggested(trial)
        plan = Plan(**{**vars(plan), "examples": given.examples})
        ratios: list[float] = []
        for number, (name, (questions, rules)) in enumerate(slices.items()):
            began = time.process_time()
            fitted = Deep(dim, rules, Job(plan)).fit(questions.train, DEFAULT_WEIGHTS, SEED)
            answers = questions.ask(fitted, lambda done: None)
            ndcg = float(answers.ndcg.mean())
            trial.set_user_attr(name, round(ndcg, 4))
            trial.set_user_attr(f"{name} seconds", round(time.process_time() - began, 1))
            ratios.append(ndcg / popularity[name])
            trial.report(float(np.mean(ratios)), number)
            if number + 1 < len(slices) and trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(ratios))

    popularity = {name: popular(questions) for name, (questions, _) in slices.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )  # fmt: skip
    study.enqueue_trial({"embedding_dim": 128, "batch_size": 32, "learning_rate": 2e-3, "id_dropout": 0.1})
    study.optimize(figure, n_trials=given.trials)
    show(study, given.data_sets)
    best: dict[str, Any] = {
        "params": study.best_params,
        "value": round(study.best_value, 4),
        **study.best_trial.user_attrs,
    }
    print(json.dumps({"trials": len(study.trials), "examples": given.examples, "users": given.users, "best": best}))


def popular(questions: protocols.Questions) -> float:
    """NDCG@10 of the posts that most users met."""
    from batch_models.popularity import Popularity

    fitted = Popularity().fit(questions.train, DEFAULT_WEIGHTS, SEED)
    return float(questions.ask(fitted, lambda done: None).ndcg.mean())


def show(study: optuna.Study, names: list[str]) -> None:
    table = Table(
        "dim", "batch", "rate", "id dropout", *(f"NDCG@10 {name}" for name in names), "CPU s", "against popularity"
    )
    for trial in sorted(study.trials, key=lambda each: -(each.value or 0.0)):
        found, params = trial.user_attrs, trial.params
        seconds = sum(found.get(f"{name} seconds", 0.0) for name in names)
        table.add_row(
            str(params["embedding_dim"]), str(params["batch_size"]), f"{params['learning_rate']:.4f}",
            str(params["id_dropout"]), *(str(found.get(name, "–")) for name in names), f"{seconds:.0f}",
            f"{trial.value:.3f}" if trial.state == optuna.trial.TrialState.COMPLETE and trial.value else "behind",
        )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
