"""JsonFormatter: records of semcache's loggers as JSON, one object a line."""

import json
import logging
from datetime import UTC, datetime
from math import isfinite
from typing import Any

_PREFIX = "semcache_"


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: ``time``, ``level``, ``logger``, ``message``, and the fields of the event.

    The fields are those that LoggingObserver, OutageLog and SummaryLog give a record, without their prefix:
    ``event``, ``status``, ``duration_s``. Numbers that are not finite are texts, since JSON has none. Records of other
    loggers have no such fields, and are written as well. No line holds texts of queries or documents, and no keys.

    Example:
        >>> handler = logging.StreamHandler()
        >>> handler.setFormatter(JsonFormatter())
        >>> logging.getLogger("semcache").addHandler(handler)
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line of JSON, without a line break inside."""
        values: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name.startswith(_PREFIX):
                values[name.removeprefix(_PREFIX)] = _plain(value)
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        # Half of a surrogate pair, which names of tenants and files may have, is no UTF-8; escaped it is JSON.
        return json.dumps(values, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not isfinite(value) else value
