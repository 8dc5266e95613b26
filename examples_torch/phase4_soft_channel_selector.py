r"""Phase 4: choose the bands of a detector, from moments and then by gradients.

    python examples_torch/phase4_soft_channel_selector.py
    python examples_torch/phase4_soft_channel_selector.py training.trainer.max_epochs=10 \
        nodes.selector.n_select=10 nodes.selector.temperature_init=3.0
    python examples_torch/phase4_soft_channel_selector.py --config-name phase4_bands
    python examples_torch/phase4_soft_channel_selector.py --help

The configurations are in `cuvis_ai/conf`; `docs/tutorials/phase4_channel_selection.md` does the same in
Python, step by step.
"""

from cuvis_ai.cli import run_hydra

if __name__ == "__main__":
    run_hydra("phase4_config")
