"""Marks arguments of constructors that come from the settings unless they are given."""

from enum import Enum
from typing import TypeVar

T = TypeVar("T")


class FromSettings(Enum):
    """The type of ``FROM_SETTINGS``."""

    FROM_SETTINGS = "settings"

    def __repr__(self) -> str:
        # help() shows the default of a parameter by its repr.
        return "<from settings>"


FROM_SETTINGS = FromSettings.FROM_SETTINGS
"""Not given: the value comes from the settings (environment, YAML), or else from their defaults.

None would not do, since it is a value: a TTL of None means that entries never expire.

Example:
    >>> def pipeline_of(url: str | FromSettings = FROM_SETTINGS) -> OptimizedRerankerPipeline:
    ...     return OptimizedRerankerPipeline(my_reranker, redis_url=url)
"""


def given(argument: T | FromSettings, setting: T) -> T:
    """The argument, or the setting where none was given.

    Example:
        >>> given(FROM_SETTINGS, 3600.0), given(60.0, 3600.0), given(None, 3600.0)
        (3600.0, 60.0, None)
    """
    return setting if isinstance(argument, FromSettings) else argument
