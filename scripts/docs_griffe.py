"""Extension of griffe that makes signatures and docstrings readable in the Python reference.

- Defaults that are computed, such as ``default_of(ScoreOptions, "hop_s")``, are shown as their values.
- An item of a docstring for several names, ``begin_ns, end_ns: ...``, is shown for each of them.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

from whalescan import options

_TWO_NAMES = re.compile(r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+): (?P<text>.*(?:\n(?P=indent) +.*)*)", re.MULTILINE)


class ReadableSignatures(griffe.Extension):
    """Replace computed defaults, and divide items of several names."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Show the default of a declared option instead of its declaration."""
        value = attr.value
        if isinstance(value, griffe.ExprCall) and str(value.function).endswith("_option") and value.arguments:
            attr.value = value.arguments[0]

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Show the value of ``default_of(...)``, and what an argument that is a path may be."""
        for parameter in func.parameters:
            default = parameter.default
            if isinstance(default, griffe.ExprCall) and str(default.function) == "default_of":
                declaration, name = (str(argument) for argument in default.arguments)
                parameter.default = repr(options.default_of(getattr(options, declaration), name.strip("\"'")))
            if parameter.annotation is not None and "_PathLike" in str(parameter.annotation):
                parameter.annotation = str(parameter.annotation).replace("_PathLike", "str | PathLike")

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Divide items of several names."""
        if obj.docstring is not None:
            obj.docstring.value = _TWO_NAMES.sub(_divided, obj.docstring.value)


def _divided(item: re.Match[str]) -> str:
    return "\n".join(f"{item['indent']}{name}: {item['text']}" for name in item["names"].split(", "))
