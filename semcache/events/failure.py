"""The part that events of failures share: the class of the error, for counting."""


class Failure:
    """An event with an ``error``, the class and the message of an exception in one line.

    Example:
        >>> CacheFailed("ReadExact", "StoreUnavailableError: Redis at h:1 did not answer in time").error_class
        'StoreUnavailableError'
    """

    __slots__ = ()

    error: str

    @property
    def error_class(self) -> str:
        """The name of the exception's class."""
        return self.error.partition(":")[0]
