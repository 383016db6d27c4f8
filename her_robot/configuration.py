"""YAML into frozen dataclasses, strictly.

Every configuration of her_robot is a frozen dataclass; the file names fields, nothing more. Unknown keys, missing
values and values of the wrong type are refused by name, with the file and the path of the key.
"""

import dataclasses
import math
import os
import re
import tempfile
import types
import typing
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import yaml

from her_robot.errors import ConfigurationError, did_you_mean

T = TypeVar("T")

_SCIENTIFIC = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
"""A number to everybody but YAML 1.1, which takes 5e-4 for a word."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Parse a YAML file whose top level is a mapping.

    Raises:
        ConfigurationError: the file is missing, unreadable, malformed, or not a mapping.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: malformed YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: expected a mapping of keys to values, found {_describe(data)}")
    return data


def load(cls: type[T], path: Path, overrides: Sequence[str] = ()) -> T:
    """Read `path` into the dataclass `cls`, after `key=value` overrides (dotted keys reach into sections).

    Raises:
        ConfigurationError: anything in the file or the overrides that `cls` does not describe.
    """
    data = read_yaml(path)
    for override in overrides:
        apply_override(data, override)
    return build(cls, data, str(path))


def build(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Make a dataclass of a mapping, recursively. `where` names the source in messages.

    Raises:
        ConfigurationError: unknown or missing keys, wrong types, or a value that the class itself refuses.
    """
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{where}: expected a mapping of keys to values, found {_describe(data)}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise ConfigurationError(f"{where}: unknown key {key!r}{did_you_mean(str(key), fields)}")
    missing = [name for name, field in fields.items() if name not in data and _is_required(field)]
    if missing:
        raise ConfigurationError(f"{where}: missing {', '.join(map(repr, missing))}")
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in data.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def require_positive(config: Any, *names: str) -> None:
    """Refuse a configuration of which one of these numbers, by default any, is not positive; dots lead into sections.

    Raises:
        ValueError: a field is 0, negative or not finite.
    """
    for name in names or [field.name for field in dataclasses.fields(config)]:
        value = attrgetter(name)(config)
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be above 0, found {value}")


def require_not_negative(config: Any, *names: str) -> None:
    """Refuse a configuration of which one of these numbers is negative; dots lead into sections.

    Raises:
        ValueError: a field is negative or not finite.
    """
    for name in names:
        value = attrgetter(name)(config)
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must not be negative, found {value}")


def to_mapping(config: Any) -> dict[str, Any]:
    """A dataclass, or a mapping, as plain dictionaries and lists of its own, ready for YAML or JSON."""
    return _plain(config if isinstance(config, Mapping) else dataclasses.asdict(config))


def dump_yaml(data: Mapping[str, Any]) -> str:
    """YAML text in the order of the keys."""
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=120)


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set `a.b=value` in nested mappings; the value is read as YAML.

    Raises:
        ConfigurationError: no `=`, a value that is not YAML, or a dotted key that passes through a plain value.
    """
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigurationError(f"--set {override!r}: expected key=value, such as learning_rate=0.001")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigurationError(f"--set {override!r}: {text!r} is not a YAML value") from None
    *sections, leaf = key.split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise ConfigurationError(f"--set {override!r}: {section!r} is a value, not a section")
    data[leaf] = value


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    payload = content.encode() if isinstance(content, str) else content
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check `value` against the type `hint` and return it in that type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is typing.Literal:
        if value not in arguments:
            valid = ", ".join(map(str, arguments))
            raise ConfigurationError(f"{where}: {value!r} is not one of {valid}")
        return value
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{where}: expected a mapping of keys to values, found {_describe(value)}")
        return {str(key): _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
        return float(value)
    if hint in (bool, int, str) and type(value) is hint:
        return value
    name = getattr(hint, "__name__", str(hint))
    raise ConfigurationError(f"{where}: expected {name}, found {_describe(value)}")


def _convert_union(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in choices:
        return None
    kinds = [choice for choice in choices if choice is not type(None)]
    if len(kinds) != 1:
        raise TypeError(f"{where}: configuration fields may be optional, not unions of several types")
    return _convert(kinds[0], value, where)


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigurationError(f"{where}: expected a list, found {_describe(value)}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(value) != len(arguments):
        raise ConfigurationError(f"{where}: expected {len(arguments)} values, found {len(value)}")
    return tuple(
        _convert(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(arguments, value, strict=True))
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _describe(value: Any) -> str:
    return "nothing" if value is None else f"{value!r} ({type(value).__name__})"
