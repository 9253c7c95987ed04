"""Measures on a user's own traffic what reuse would save and cost at each threshold, and recommends thresholds."""
