"""YAML into dataclasses: strict, with messages that name the key."""

import os
from dataclasses import dataclass, field

import pytest

from her_robot import configuration
from her_robot.errors import ConfigurationError


@dataclass(frozen=True)
class Inner:
    speed: float = 1.0
    """[m/s]."""


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 1
    limits: tuple[float, float] | None = None
    inner: Inner = field(default_factory=Inner)
    table: dict[str, Inner] = field(default_factory=dict)
    many: tuple[Inner, ...] = ()
    flag: bool = False

    def __post_init__(self):
        if self.count < 0:
            raise ValueError(f"count must not be negative, found {self.count}")


def _build(**data):
    return configuration.build(Outer, data, "file.yaml")


def test_nested_values_get_their_types():
    built = _build(
        name="a", limits=[1, 2.5], inner={"speed": 3}, table={"x": {"speed": 4}}, many=[{"speed": 5}, {}], flag=True
    )
    assert built == Outer("a", 1, (1.0, 2.5), Inner(3.0), {"x": Inner(4.0)}, (Inner(5.0), Inner(1.0)), True)
    assert isinstance(built.inner.speed, float)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, r"file.yaml: missing 'name'"),
        ({"nam": "a"}, r"file.yaml: unknown key 'nam'; did you mean 'name'"),
        ({"name": 3}, r"file.yaml: name: expected str, found 3 \(int\)"),
        ({"name": "a", "count": 1.5}, r"count: expected int, found 1.5"),
        ({"name": "a", "count": True}, r"count: expected int, found True"),
        ({"name": "a", "flag": 1}, r"flag: expected bool, found 1"),
        ({"name": "a", "limits": [1]}, r"limits: expected 2 values, found 1"),
        ({"name": "a", "limits": 1}, r"limits: expected a list, found 1"),
        ({"name": "a", "inner": {"sped": 1}}, r"file.yaml: inner: unknown key 'sped'; did you mean 'speed'"),
        ({"name": "a", "inner": 3}, r"inner: expected a mapping"),
        ({"name": "a", "table": {"x": {"speed": "fast"}}}, r"table.x: speed: expected float, found 'fast'"),
        ({"name": "a", "many": [{"speed": None}]}, r"many\[0\]: speed: expected float, found nothing"),
        ({"name": "a", "count": -1}, r"count must not be negative, found -1"),
    ],
)
def test_what_is_refused(data, message):
    with pytest.raises(ConfigurationError, match=message):
        _build(**data)


def test_malformed_and_missing_files(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: [1, 2")
    with pytest.raises(ConfigurationError, match=r"a\.yaml: malformed YAML: .*line 1"):
        configuration.read_yaml(path)
    path.write_text("- 1\n")
    with pytest.raises(ConfigurationError, match="expected a mapping"):
        configuration.read_yaml(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        configuration.read_yaml(path)
    with pytest.raises(ConfigurationError, match="No such file"):
        configuration.read_yaml(tmp_path / "b.yaml")


def test_yaml_cannot_make_objects(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: !!python/object/apply:os.system ['true']")
    with pytest.raises(ConfigurationError, match="malformed YAML"):
        configuration.read_yaml(path)


def test_overrides(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: a\n")
    loaded = configuration.load(Outer, path, ["count=3", "inner.speed=2", "limits=[0, 5e-4]"])
    assert loaded == Outer("a", 3, (0.0, 0.0005), Inner(2.0))
    with pytest.raises(ConfigurationError, match="expected key=value"):
        configuration.load(Outer, path, ["count"])


def test_mapping_round_trip():
    built = _build(name="a", limits=[1, 2], table={"x": {}})
    mapping = configuration.to_mapping(built)
    assert configuration.build(Outer, mapping, "again") == built
    assert "limits:" in configuration.dump_yaml(mapping)


def test_files_are_whole_or_untouched(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file.txt"
    configuration.write_atomically(path, "first")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        configuration.write_atomically(path, "second, longer")
    assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]
