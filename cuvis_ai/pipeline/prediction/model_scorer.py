"""Scores of a scene by an exported model, in ONNX Runtime. It needs no torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.data.sources.read_scale import ReadScale
from cuvis_ai.errors import DISTRIBUTION, ArchiveError, ConfigError, GraphError, import_extra
from cuvis_ai.pipeline.prediction.model_checksum import is_whole
from cuvis_ai.pipeline.prediction.strip_scorer import StripScorer
from cuvis_ai.pipeline.scene_reader import SceneReader
from cuvis_ai.pipeline.trained_bands import TrainedBands

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

_FORMAT = 1
"""Of what `graph.export_onnx` writes."""

_Read = tuple[NDArray[np.float32], NDArray[np.bool_] | None]


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a model says about itself, see `graph.export_onnx`."""

    graph: str
    """The graph's name."""
    layout: str
    """Of cube and output: nchw or nhwc."""
    output: str
    """The one output of scores."""
    halo: int | None
    """How many pixels away a score depends on the cube."""
    threshold: float | None
    """Above which a pixel is detected; None: none is stored."""
    calibrated_tail: bool
    """Whether thresholds can be had from false-alarm rates."""
    bands: TrainedBands
    """Those of training."""

    @classmethod
    def of(cls, said: dict[str, str], path: Path) -> Self:
        """Return what the metadata of a model say.

        Raises:
            ArchiveError: they are not such as `graph.export_onnx` writes.
            GraphError: the model has several outputs of scores.
        """
        try:
            if (written := json.loads(said["format"])) != _FORMAT:
                raise ArchiveError(
                    f"{path}: expected a model of format {_FORMAT}, got {written!r:.20}. Upgrade with "
                    f"`pip install -U {DISTRIBUTION}`."
                )
            outputs = json.loads(said["outputs"])
            if len(outputs) == 1:
                [(name, facts)] = outputs.items()
                return cls(
                    graph=said["graph"],
                    layout=said["layout"],
                    output=name,
                    halo=facts["halo"],
                    threshold=facts["threshold"],
                    calibrated_tail=facts["calibrated_tail"],
                    bands=TrainedBands.of(
                        json.loads(said["wavelengths"]),
                        json.loads(said["band_indices"]),
                        # Models of earlier versions say nothing of it.
                        ReadScale.of_plain(json.loads(said.get("scale", "null"))),
                    ),
                )
        except ArchiveError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            raise ArchiveError(
                f"{path}: expected a model that `graph.export_onnx` wrote, got another: {err!r:.100}."
            ) from err
        raise GraphError(
            f"{path}: expected one output of scores, got {', '.join(outputs)}. Export one: `outputs=[…]`."
        )


@dataclass(frozen=True, kw_only=True)
class ModelScorer(StripScorer[_Read]):
    """Computes the output of a model for windows of scenes.

    Attributes:
        session: ONNX Runtime's, with the model.
        facts: what the model says about itself.
    """

    session: Any
    facts: ModelFacts

    @classmethod
    def load(cls, path: Path, content: bytes, device: str) -> Self:
        """Return a scorer by a model.

        Args:
            path: of the file, for messages.
            content: its bytes.
            device: "cpu" or "cuda".

        Raises:
            ArchiveError: it is no model that `graph.export_onnx` wrote.
            ConfigError: there is no such device.
            MissingExtraError: onnxruntime is not installed.
        """
        runtime = import_extra("onnxruntime", "export", "predicting with a model")
        provider = _PROVIDERS.get(device)
        if provider not in runtime.get_available_providers():
            raise ConfigError(
                f"device: expected one that ONNX Runtime has here, got {device!r}. For a GPU install "
                "`onnxruntime-gpu`."
            )
        if not is_whole(content):
            raise ArchiveError(
                f"{path}: expected a model as `graph.export_onnx` wrote it, got another file, or one that "
                "was changed or cut short since. Copy it again, or export the graph again."
            )
        try:
            session = runtime.InferenceSession(content, providers=[provider])
        except Exception as err:  # ONNX Runtime's errors have no base of their own
            raise ArchiveError(
                f"{path}: expected a model that ONNX Runtime {runtime.__version__} loads, got {err!s:.300}. "
                "Update onnxruntime."
            ) from err
        facts = ModelFacts.of(dict(session.get_modelmeta().custom_metadata_map), path)
        return cls(halo=facts.halo, session=session, facts=facts)

    @override
    def channels(self, reader: SceneReader) -> int:
        shapes = {one.name: one.shape for one in self.session.get_outputs()}
        return int(shapes[self.facts.output][self._channel_axis])

    @property
    def _channel_axis(self) -> int:
        return 1 if self.facts.layout == "nchw" else 3

    @override
    def _read(self, reader: SceneReader, strip: Window) -> _Read:
        return reader.read(self._grown(reader, strip))

    @override
    def _score(self, reader: SceneReader, strip: Window, pixels: _Read) -> NDArray[np.float32]:
        cube, valid = pixels
        flags: NDArray[np.bool_] = np.ones(cube.shape[:2], bool) if valid is None else valid
        feed = self._feed(reader, cube, flags)
        try:
            scores = self.session.run([self.facts.output], feed)[0][0]
        except Exception as err:  # as above; such as a lack of memory
            raise GraphError(f"{reader.cube.path}: ONNX Runtime failed: {err!s:.300}.") from err
        scores = np.moveaxis(scores, 0, 2) if self.facts.layout == "nchw" else scores
        scores = np.where(flags[..., None], scores, np.float32("nan"))
        return np.ascontiguousarray(scores[self._core(reader, strip)])

    def _feed(
        self, reader: SceneReader, cube: NDArray[np.float32], flags: NDArray[np.bool_]
    ) -> dict[str, NDArray[Any]]:
        inputs = {one.name: one for one in self.session.get_inputs()}
        wanted = inputs["cube"].shape[self._channel_axis]
        if wanted != cube.shape[2]:
            raise GraphError(
                f"{reader.cube.path}: expected the {wanted} bands of the model, got {cube.shape[2]}. Give "
                "the sensor that it was made for, or --match-bands."
            )
        kind = inputs["cube"].type.removeprefix("tensor(").rstrip(")")
        given = cube if kind == "float" else _whole(cube, flags, kind, reader.cube.path)
        arranged = np.moveaxis(given, 2, 0) if self.facts.layout == "nchw" else given
        feed: dict[str, NDArray[Any]] = {"cube": np.ascontiguousarray(arranged[None])}
        return {**feed, "valid": flags[None]} if "valid" in inputs else feed


def _whole(cube: NDArray[np.float32], flags: NDArray[np.bool_], kind: str, path: Path) -> NDArray[Any]:
    """Return a cube as integers, 0 at invalid pixels."""
    filled = np.where(flags[..., None], cube, np.float32(0))
    limits = np.iinfo(kind)
    if bool(((filled < limits.min) | (filled > limits.max) | (filled != np.rint(filled))).any()):
        raise GraphError(
            f"{path}: expected numbers that {kind} holds, which the model takes, got others. Export the "
            'graph with `input="float32"`.'
        )
    return filled.astype(kind)
