"""Train one model, or many with -m: python -m src.train pooling=attention norm=layer seed=1."""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.config import CONFIG_DIR, check_command_line, stop


@hydra.main(config_path=str(CONFIG_DIR), config_name="train", version_base="1.3")
def train(config: DictConfig) -> float | None:
    """Train what `config` describes; return the best validation loss, the sweepers' objective."""
    # Imported here: --help and --cfg answer at once, without torch.
    from src.run import run

    hydra_config = HydraConfig.get()
    choices = dict(hydra_config.runtime.choices)
    try:
        return run(config, choices, list(hydra_config.overrides.task))
    except (ValueError, FloatingPointError) as error:
        # In a sweep the other jobs go on, and Hydra reports the error at the end.
        if str(hydra_config.mode).endswith("MULTIRUN"):
            raise
        stop(str(error), code=2 if isinstance(error, ValueError) else 1)


def main() -> None:
    """Run the command line."""
    check_command_line("train", sys.argv[1:])
    train()


if __name__ == "__main__":
    main()
