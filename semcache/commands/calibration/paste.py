"""The recommended settings as lines to paste: for a YAML file, and for the environment."""

from semcache.commands.calibration.result import Calibration

Recommended = dict[str, dict[str, float | str]]
"""Values by section and name, as in the settings."""


def recommended(found: Calibration) -> Recommended:
    """The settings in which the advice differs from what is in force; empty where it does not."""
    settings: Recommended = {}
    now, then = found.now, found.then
    for name in ("trust_threshold", "reuse_threshold"):
        value = getattr(then, name)
        if value != getattr(now, name):
            settings.setdefault("reuse", {})[name] = value
    if found.prune is not None and found.prune.threshold is not None:
        settings["prune"] = {"mode": "on", "confidence": found.prune.threshold}
    return settings


def as_yaml(settings: Recommended) -> str:
    """The settings as YAML.

    Example:
        >>> print(as_yaml({"reuse": {"trust_threshold": 0.98}}))
        reuse:
          trust_threshold: 0.98
    """
    lines = []
    for section, values in settings.items():
        lines += [f"{section}:", *(f"  {name}: {_text(value)}" for name, value in values.items())]
    return "\n".join(lines)


def as_environment(settings: Recommended) -> str:
    """The settings as variables.

    Example:
        >>> print(as_environment({"reuse": {"trust_threshold": 0.98}}))
        SEMCACHE_REUSE__TRUST_THRESHOLD=0.98
    """
    return "\n".join(
        f"SEMCACHE_{section.upper()}__{name.upper()}={_text(value)}"
        for section, values in settings.items()
        for name, value in values.items()
    )


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
