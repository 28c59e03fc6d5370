"""A run's test perplexity, with its interval over sentences."""

import numpy as np
import pandas as pd
from scipy import stats

from reproductions.runs import NamedRun


def perplexity(run: NamedRun) -> float:
    """Of the test chapters, per subword."""
    table = run.finished.table("metrics")
    return float(table.loc[table["split"] == "test", "perplexity"].iloc[0])


def perplexity_text(run: NamedRun) -> str:
    """Test perplexity with its 95 % interval over sentences."""
    low, high = _interval(run.finished.table("sentences"))
    return f"{perplexity(run):.2f} ({low:.2f} to {high:.2f})"


def _interval(sentences: pd.DataFrame) -> tuple[float, float]:
    """Of the perplexity, over sentences weighted by their tokens (ratio estimate)."""
    tokens, loss = sentences["num_tokens"], sentences["loss"]
    mean = float(np.average(loss, weights=tokens))
    residual = tokens * (loss - mean) / tokens.mean()
    half = float(stats.t.ppf(0.975, len(loss) - 1) * stats.sem(residual)) if len(loss) > 1 else 0.0
    return float(np.exp(mean - half)), float(np.exp(mean + half))
