"""The loss that a share of the hits exceeds."""

import numpy as np

from semcache.commands.calibration.figures import worst


def test_the_worst_share_counts_weights() -> None:
    losses = np.array([0.9, 0.5, 0.1])
    assert worst(losses, np.array([1.0, 4.0, 95.0])) == 0.5
    assert worst(losses, np.array([5.0, 1.0, 94.0])) == 0.9
