"""Phase 3: fit a graph in closed form, then fine-tune it by gradients.

    python examples_torch/phase3_gradient_training.py
    python examples_torch/phase3_gradient_training.py training.trainer.max_epochs=20
    python examples_torch/phase3_gradient_training.py --config-name demo
    python examples_torch/phase3_gradient_training.py --help

The configurations are in `cuvis_ai/conf`; `docs/tutorials/phase3_gradient_training.md` does the same in
Python, step by step.
"""

import hydra
from omegaconf import DictConfig

from cuvis_ai.cli import run_or_exit


@hydra.main(version_base="1.3", config_path="pkg://cuvis_ai.conf", config_name="phase3_config")
def main(config: DictConfig) -> None:
    """Train, print the metrics, save."""
    run_or_exit(config)


if __name__ == "__main__":
    main()
