"""Settings: unknown or impossible values are refused, by the name of the field."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from cuvis_ai.errors import ConfigError
from cuvis_ai.training.config import OptimizerConfig, SchedulerConfig, TrainerConfig, TrainingConfig

IMPOSSIBLE = [
    (OptimizerConfig, {"lr": -1}),
    (OptimizerConfig, {"lr": 0}),
    (OptimizerConfig, {"lr": "fast"}),
    (OptimizerConfig, {"lr": float("nan")}),
    (OptimizerConfig, {"name": "adamm"}),
    (OptimizerConfig, {"weight_decay": -0.1}),
    (OptimizerConfig, {"betas": (0.9, 1.0)}),
    (OptimizerConfig, {"betas": (0.9,)}),
    (OptimizerConfig, {"momentum": 1.0}),
    (SchedulerConfig, {"factor": 1.5}),
    (SchedulerConfig, {"patience": -1}),
    (TrainerConfig, {"max_epochs": -5}),
    (TrainerConfig, {"max_epochs": 1.5}),
    (TrainerConfig, {"max_epochs": True}),
    (TrainerConfig, {"precision": "8"}),
    (TrainerConfig, {"log_every_n_steps": 0}),
    (TrainerConfig, {"gradient_clip_val": 0}),
    (TrainerConfig, {"devices": 0}),
    (TrainerConfig, {"max_steps": 0}),
    (TrainerConfig, {"max_time": 3}),
    (TrainerConfig, {"fast_dev_run": -1}),
    (TrainerConfig, {"limit_train_batches": 0}),
    (TrainerConfig, {"limit_train_batches": 1.5}),
    (TrainerConfig, {"limit_val_batches": -1}),
    (TrainerConfig, {"val_check_interval": True}),
    (TrainerConfig, {"val_check_interval": 0.0}),
    (TrainerConfig, {"callbacks": [{"_target_": "a.B"}]}),
    (OptimizerConfig, {"scheduler": "linear"}),
    (SchedulerConfig, {"name": "linear"}),
    (SchedulerConfig, {"step_size": 0}),
    (SchedulerConfig, {"warmup_epochs": -1}),
    (TrainingConfig, {"seed": -1}),
    (TrainingConfig, {"trainer": {"max_epochs": 1}}),
]


@pytest.mark.parametrize(("cls", "arguments"), IMPOSSIBLE)
def test_impossible_values_are_refused_by_name(cls: type[Any], arguments: dict[str, Any]) -> None:
    [name] = arguments
    with pytest.raises(ConfigError, match=f"{cls.__name__}: `{name}`: expected"):
        cls(**arguments)


def test_defaults_are_those_of_the_design() -> None:
    config = TrainingConfig()
    assert (config.trainer.max_epochs, config.trainer.accelerator, config.trainer.devices) == (10, "auto", 1)
    assert config.trainer.precision == "32"
    assert (config.scheduler.factor, config.scheduler.patience) == (0.1, 10)


def test_mappings_of_plain_values_become_configs() -> None:
    config = TrainingConfig.from_mapping(
        {"seed": 1, "trainer": {"max_epochs": 3, "precision": 32}, "optimizer": {"betas": [0.8, 0.9]}}
    )
    assert config.trainer.max_epochs == 3
    assert config.trainer.precision == "32"
    assert config.optimizer.betas == (0.8, 0.9)


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainingConfig.from_mapping(
            {"sed": 1, "trainer": {"max_epoch": 3}, "optimizer": {"lr": -1, "name": "x"}}
        )
    text = str(caught.value)
    for part in ("`training.sed`: unknown key. Did you mean `seed`?", "`training.trainer.max_epoch`: unknown key. "
                 "Did you mean `max_epochs`?", "`lr`", "`name`"):  # fmt: skip
        assert part in text


def test_settings_are_frozen_and_keyword_only() -> None:
    with pytest.raises(AttributeError):
        OptimizerConfig().lr = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        OptimizerConfig("adam")  # type: ignore[misc]


def test_a_part_of_a_hydra_configuration_becomes_a_config() -> None:
    cfg = OmegaConf.create(
        {
            "lr": 0.5,
            "training": {"optimizer": {"lr": "${lr}", "betas": [0.8, 0.9]}, "trainer": {"max_epochs": 2}},
        }
    )
    config = TrainingConfig.from_dict_config(cfg.training)
    assert (config.optimizer.lr, config.optimizer.betas, config.trainer.max_epochs) == (0.5, (0.8, 0.9), 2)
    with pytest.raises(ConfigError, match="training: .*nowhere"):
        TrainingConfig.from_dict_config(OmegaConf.create({"seed": "${nowhere}"}))
    with pytest.raises(ConfigError, match="`training.sed`: unknown key"):
        TrainingConfig.from_dict_config(OmegaConf.create({"sed": 1}))


def test_lightnings_and_torchs_names_are_taken() -> None:
    assert TrainerConfig(precision="32-true") == TrainerConfig(precision="32")
    assert TrainerConfig(precision="64-true") == TrainerConfig(precision="64")
    assert SchedulerConfig(name="reduce_on_plateau") == SchedulerConfig()


def test_the_optimizer_may_name_the_scheduler() -> None:
    cosine = TrainingConfig(
        optimizer=OptimizerConfig(scheduler="cosine"), scheduler=SchedulerConfig(min_lr=1e-5)
    )
    assert cosine.scheduler == SchedulerConfig(name="cosine", min_lr=1e-5)
    assert TrainingConfig(optimizer=OptimizerConfig(scheduler="reduce_on_plateau")) == TrainingConfig(
        optimizer=OptimizerConfig(scheduler="plateau")
    )
    with pytest.raises(ConfigError, match="expected 'step', as in `scheduler.name`, got 'cosine'"):
        TrainingConfig(optimizer=OptimizerConfig(scheduler="cosine"), scheduler=SchedulerConfig(name="step"))
