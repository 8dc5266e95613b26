import inspect
import typing
from dataclasses import fields
from pathlib import Path

import pytest

from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.data.indian_pines import IndianPines
from cuvis_ai.data.lentils_anomaly import LentilsAnomaly
from cuvis_ai.data.options import CubeArguments, LoadingOptions, ReadingOptions
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.errors import ConfigError
from tests.data.files import Files

OPTIONS = {field.name: field for record in (LoadingOptions, ReadingOptions) for field in fields(record)}


def test_impossible_arguments_are_named_together(tmp_path: Path) -> None:
    message = "`batch_size`.*got 0.*`num_workers`.*`seed`.*`bad_bands`.*`on_error`.*'ignore'"
    with pytest.raises(ConfigError, match=message):
        Files(
            tmp_path,
            (1, 0, 0),
            batch_size=0,
            num_workers=-1,
            seed=-1,
            bad_bands=[-1],
            on_error="ignore",  # type: ignore[arg-type]
        )


def test_the_arguments_are_the_fields_of_the_records() -> None:
    assert typing.get_type_hints(CubeArguments) == {name: field.type for name, field in OPTIONS.items()}


@pytest.mark.parametrize(
    ("module", "left_out"),
    [
        (CubeFolder, set()),
        (LentilsAnomaly, set()),
        (SceneTiles, {"pad"}),
        (IndianPines, {"pad", "wavelengths", "axes"}),
    ],
)
def test_a_signature_shows_each_option_with_type_and_default(module: type, left_out: set[str]) -> None:
    shown = inspect.signature(module).parameters
    assert not [name for name, parameter in shown.items() if parameter.kind is parameter.VAR_KEYWORD]
    assert OPTIONS.keys() - shown.keys() == left_out
    for name in OPTIONS.keys() & shown.keys():
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert (shown[name].default, shown[name].annotation) == (OPTIONS[name].default, OPTIONS[name].type)


def test_an_option_that_a_module_has_itself_keeps_its_default() -> None:
    assert inspect.signature(Files).parameters["batch_size"].default == 2


def test_an_unknown_argument_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="CubeFolder: expected arguments among .*saturation.*, got batchsize"):
        CubeFolder(tmp_path, batchsize=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["pad", "wavelengths"])
def test_an_argument_that_a_module_sets_itself_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        IndianPines(**{name: None})  # type: ignore[arg-type]
