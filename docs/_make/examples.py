"""An extension of griffe, which reads the docstrings: sections called Example are examples, not remarks."""

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Griffe knows sections called Examples; ours mostly have one, and say so."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section, once the docstring of a class, function or module is there."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
