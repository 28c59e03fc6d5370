"""Standard classifiers on the study's split: what an accuracy of 90 % means on these recordings."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from experiments.run_folder import RunFolder
from experiments.vowel import data
from experiments.vowel.settings import ReferenceConfig


def run(
    config: ReferenceConfig, folder: RunFolder, report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Fit each classifier on the training speakers; writes metrics.csv.

    Columns: classifier, train_accuracy, test_accuracy (shares of tokens, all vowels as classes).
    """
    vowels = data.load(config)
    train, test = (
        (cases.inputs_DN[:-1].T.numpy(), cases.vowels_N.numpy())
        for cases in (vowels.train, vowels.test)
    )
    rows = []
    for name, classifier in _classifiers(config).items():
        classifier.fit(*train)
        rows.append((name, classifier.score(*train), classifier.score(*test)))
        report("reference classifiers", len(rows) / 4)
    columns = ["classifier", "train_accuracy", "test_accuracy"]
    folder.write_table("metrics", pd.DataFrame(rows, columns=columns))
    return {"data_sha256": vowels.sha256}


def _classifiers(config: ReferenceConfig) -> dict[str, Any]:
    # Imported here: it takes longer than most commands that never fit a classifier.
    from sklearn.discriminant_analysis import (
        LinearDiscriminantAnalysis,
        QuadraticDiscriminantAnalysis,
    )
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    return {
        "linear discriminant": LinearDiscriminantAnalysis(),
        "quadratic discriminant": QuadraticDiscriminantAnalysis(),
        # C: no shrinkage to speak of, the formants being in kHz.
        "logistic regression": LogisticRegression(C=1e6, max_iter=10_000),
        f"{config.num_neighbours} nearest neighbours": KNeighborsClassifier(config.num_neighbours),
    }
