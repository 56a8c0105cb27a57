"""Options of commands, made from the dataclasses that declare them."""

from __future__ import annotations

import functools
import logging
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from whalescan.options import default_of, options_of

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[Any], Any]


class DeclaredOption(click.Option):
    """An option that a field of a dataclass declares.

    Attributes:
        field_name: the field, whose name messages of the library use.
    """

    def __init__(self, *args: Any, field_name: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.field_name = field_name or self.name or ""


def declared(keyword: str, declaration: type, *names: str) -> _Decorator:
    """Add options that a dataclass declares, and hand the command an object of that class.

    Args:
        keyword: parameter of the command that takes the object.
        declaration: the dataclass.
        names: fields that become options; all that are declared where none is named.
    """
    chosen = _chosen(declaration, names)
    return _gathered(keyword, chosen, [_click_option(declaration, name) for name in chosen], declaration)


def changed(keyword: str, declaration: type, *names: str, default_text: str) -> _Decorator:
    """Add options that a dataclass declares, and hand the command a mapping of those that were given.

    Args:
        keyword: parameter of the command that takes the mapping from names of fields to values.
        declaration: the dataclass.
        names: as in `declared`.
        default_text: what holds where an option is not given.
    """
    chosen = _chosen(declaration, names)
    options = [_click_option(declaration, name, default_text) for name in chosen]
    return _gathered(keyword, chosen, options, _given)


def gathered(keyword: str, *options: _Decorator) -> _Decorator:
    """Add click options, and hand the command a mapping of those that were given, by their names.

    Args:
        keyword: parameter of the command that takes the mapping.
        options: made by ``click.option``, without defaults of their own.
    """
    return _gathered(keyword, [_name_of(option) for option in options], options, _given)


def _chosen(declaration: type, names: Sequence[str]) -> list[str]:
    return list(names or options_of(declaration))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not (value is None or value == () or value is False)}


def _name_of(option: _Decorator) -> str:
    def command() -> None: ...

    option(command)
    (parameter,) = command.__click_params__  # type: ignore[attr-defined]
    name: str = parameter.name
    return name


def _gathered(
    keyword: str, names: Sequence[str], options: Sequence[_Decorator], make: Callable[..., Any]
) -> Callable[[_Command], Any]:
    click_names = [_name_of(option) for option in options]

    def decorate(command: _Command) -> Any:
        @functools.wraps(command)
        def call(*args: Any, **values: Any) -> Any:
            own = {name: values.pop(click_name) for name, click_name in zip(names, click_names, strict=True)}
            made = make(own) if make is _given else make(**own)
            return command(*args, **{keyword: made}, **values)

        decorated: Any = call
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def _click_option(declaration: type, name: str, default_text: str = "") -> _Decorator:
    """Return the click option of a field; with a text for its default, that of a value which may be left out."""
    option, default = options_of(declaration)[name], default_of(declaration, name)
    kind, takes_several = _kind(_hint(declaration, name))
    spelling = [option.flag, *filter(None, [option.letter])]
    if takes_several:
        spelling.append(name)  # not that of the flag, which names one of several
    settings: dict[str, Any] = {"cls": DeclaredOption, "field_name": name, "help": option.help}
    if kind is bool:
        settings |= {"is_flag": True, "default": None if default_text else default}
    else:
        settings |= {
            "type": click.Path(path_type=Path) if kind is Path else kind,
            "metavar": option.metavar or None,
            "multiple": takes_several,
            "default": None if default_text or default is None else default,
            "show_default": default_text or option.default_text or True,
        }
    if name == "quiet":
        settings["callback"] = _be_quiet
    if name in _ALTERNATIVES:
        settings["callback"] = _give_way
    return click.option(*spelling, **settings)


def _hint(declaration: type, name: str) -> Any:
    """Return the type of a field; those of other fields need not be known while the program runs."""
    alone = {"__annotations__": {name: declaration.__annotations__[name]}, "__module__": declaration.__module__}
    return get_type_hints(type(declaration.__name__, (), alone))[name]


def _kind(hint: Any) -> tuple[type, bool]:
    """Return the type of a value, and whether there may be several of it."""
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (one for one in get_args(hint) if one is not type(None))
    if get_origin(hint) is tuple:
        return get_args(hint)[0], True
    return hint, False


def _be_quiet(_context: click.Context, _option: click.Parameter, is_quiet: bool) -> bool:
    """Show only warnings of the library's log."""
    if is_quiet:
        logging.getLogger("whalescan").setLevel(logging.WARNING)
    return is_quiet


_ALTERNATIVES = {"threshold": "false_positives_per_hour", "false_positives_per_hour": "threshold"}
"""Options that exclude each other."""


def _give_way(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """Ignore a value from a file of options where the command line gives the alternative."""
    is_from_file = context.get_parameter_source(option.name or "") is ParameterSource.DEFAULT_MAP
    alternative = context.get_parameter_source(_ALTERNATIVES[option.name or ""])
    return None if is_from_file and alternative is ParameterSource.COMMANDLINE else value


def path_option(*spelling: str, **settings: Any) -> _Decorator:
    """Return an option that takes a path."""
    return click.option(*spelling, type=click.Path(path_type=Path), **settings)


def quiet_option(help: str = "Show no progress and no summary.") -> _Decorator:  # noqa: A002 - what click calls it
    """Return ``--quiet`` of a command whose options are declared elsewhere."""
    return click.option("--quiet", "-q", is_flag=True, callback=_be_quiet, help=help)


def flag_of(option: click.Option) -> str:
    """Return the long spelling of an option."""
    return max(option.opts, key=len)


def names_of(option: click.Option) -> set[str]:
    """Return the names that messages of the library may use for an option."""
    return {option.name or "", option.field_name if isinstance(option, DeclaredOption) else ""} - {""}
