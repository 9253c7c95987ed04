"""Whether anything is ever served across the wall of a scope: random steps on a real Redis against a plain model."""
