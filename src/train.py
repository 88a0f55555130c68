"""Train one model, or many with -m: python -m src.train pooling=attention norm=layer seed=1."""

import sys

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict, read_write

from src.config import CONFIG_DIR, stop
from src.config.compose import check_command_line


@hydra.main(config_path=str(CONFIG_DIR), config_name="train", version_base="1.3")
def train(config: DictConfig) -> None:
    """Train what `config` describes."""
    # Imported here: --help and --cfg answer at once, without torch.
    from src.runs.run import run

    hydra_config = HydraConfig.get()
    choices = {k: v for k, v in hydra_config.runtime.choices.items() if k != "sweep"}
    with read_write(config), open_dict(config):
        del config["sweep"]
    try:
        run(config, choices, list(hydra_config.overrides.task))
    except (ValueError, FloatingPointError) as error:
        stop(str(error), code=2 if isinstance(error, ValueError) else 1)


def main() -> None:
    """Run the command line."""
    asked = get_args_parser().parse_args(sys.argv[1:])
    runs = not (asked.help or asked.hydra_help or asked.cfg or asked.info or asked.shell_completion)
    if runs and (asked.multirun or "hydra.mode=MULTIRUN" in asked.overrides):
        # Not Hydra's own multirun: that one forgets what has run when something ends it.
        from src.sweeping.sweep import sweep

        raise SystemExit(sweep("train", asked.overrides))
    check_command_line("train", sys.argv[1:])
    for override in asked.overrides:
        if runs and override.startswith(("sweep=", "sweep.")):
            stop(f"{override} is for a multirun: add -m")
    train()


if __name__ == "__main__":
    main()
