"""What reuse would save and cost on somebody's own traffic, threshold by threshold, and which thresholds follow."""
