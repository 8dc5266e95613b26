"""The progress bar: one line an epoch, written when it is begun and when it is done."""

import re
from dataclasses import replace

import pytest

from cuvis_ai.training.metrics import ExplainedVarianceMetric
from tests.cubes import Batches, as_batches, random_cubes
from tests.training.engine.test_trainer import Power, data, pca_graph, settings


def lines(printed: str) -> list[str]:
    """Return what was written, line by line, without time and rate; statistics have a bar of their own."""
    plain = re.sub(r"\[\d\d:\d\d<[^,\]]*, +[^,\]]*", "[", printed)
    return [line for line in re.split(r"[\r\n]+", plain) if line and "Statistics" not in line]


def begun(title: str, total: int) -> str:
    return f"{title}:   0%|          | 0/{total} []"


def done(title: str, total: int, postfix: str = "") -> str:
    return f"{title}: 100%|██████████| {total}/{total} [{postfix}]"


def shown(max_epochs: int, **trainer: int):
    config = settings(max_epochs, **trainer)
    return replace(config, trainer=replace(config.trainer, enable_progress_bar=True))


@pytest.mark.parametrize("datamodule", [data(), Batches(as_batches(random_cubes(8)))], ids=["val", "no val"])
def test_one_line_an_epoch_counted_from_1(datamodule: Batches, capsys: pytest.CaptureFixture[str]) -> None:
    graph, pca = pca_graph(Power())
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    graph.train(datamodule, shown(3, log_every_n_steps=100))
    printed = [re.sub("loss=[^]]+", "loss", line) for line in lines(capsys.readouterr().out)]
    titles = [f"Epoch {epoch}/3" for epoch in (1, 2, 3)]
    assert printed == [line for title in titles for line in (begun(title, 4), done(title, 4, ", loss"))]


@pytest.mark.parametrize("log_every_n_steps", [1, 100])
def test_the_loss_is_the_mean_of_the_epoch(
    log_every_n_steps: int, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, _ = pca_graph(Power())
    trainer = graph.train(data(), shown(1, log_every_n_steps=log_every_n_steps))
    loss = float(trainer.callback_metrics["train/loss/total"])
    assert lines(capsys.readouterr().out)[-1] == done("Epoch 1/1", 4, f", loss={loss:.4g}")


def test_on_a_terminal_the_loss_is_shown_from_the_first_batch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    graph, _ = pca_graph(Power())
    postfixes: list[tuple[int, str]] = []
    monkeypatch.setattr(
        "tqdm.auto.tqdm.set_postfix_str", lambda bar, s, refresh: postfixes.append((bar.n, s))
    )
    graph.train(data(), shown(1))
    assert next(n for n, s in postfixes if s.startswith("loss=")) == 0


def test_a_validation_or_test_outside_training_has_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    graph, pca = pca_graph(Power())
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    graph.train(data(), shown(0))
    assert lines(capsys.readouterr().out) == [begun("Validation", 2), done("Validation", 2)]
    graph.evaluate(data(), "test", shown(0))
    assert lines(capsys.readouterr().out) == [begun("Test", 1), done("Test", 1)]


def test_disabled_it_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    graph, _ = pca_graph(Power())
    graph.train(data(), settings(1))
    assert lines(capsys.readouterr().out) == []
