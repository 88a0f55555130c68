"""Completion in bash, `python -m src.train pool<TAB>`, from the files that the command reads."""

import glob
import os
from collections.abc import Iterable

from src.config import CONFIG_DIR
from src.config.keys import Keys

# Hydra's own script knows `python file.py` alone, and takes a file for a command by its decorator.
_BASH = r"""_price_models()
{
    local line=${COMP_LINE:0:COMP_POINT} words command
    read -ra words <<< "$line"
    if [[ ${words[1]} == -m && ${words[2]} == src.* ]]; then
        command=("${words[@]:0:3}")
    elif [[ ${words[1]} == src/*.py || ${words[1]} == */src/*.py ]]; then
        command=("${words[@]:0:2}")
    else
        return
    fi
    [[ ${line#*"${command[-1]}"} == [[:space:]]* ]] || return
    mapfile -t COMPREPLY < <(
        COMP_LINE=${line#*"${command[-1]}"} "${command[@]}" -sc query=bash 2> /dev/null)
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o bashdefault -o default -F _price_models python python3"""


def complete(name: str, asked: str, keys: Keys) -> str:
    """Answer `-sc`: the script that a shell evaluates, or what a word on its line may become.

    Args:
        name: the command's.
        asked: install=bash, uninstall=bash or query=bash; a query takes the line after the
            command's name from the variable COMP_LINE, as the script gives it.
        keys: the command's keys and groups.

    Raises:
        ValueError: something else is asked for.
    """
    if asked == "install=bash":
        return _BASH
    if asked == "uninstall=bash":
        return "complete -r python python3; unset -f _price_models"
    if asked == "query=bash":
        return "\n".join(_candidates(name, os.environ.get("COMP_LINE", ""), keys))
    raise ValueError(f"-sc is install=bash, uninstall=bash or query=bash, got {asked}")


def _candidates(name: str, line: str, keys: Keys) -> list[str]:
    """Return what the last word of a line may become."""
    before = line.split()
    word = "" if not line or line[-1].isspace() else before.pop()
    if word.startswith("-"):
        options = ["--help", "--cfg", *(f"--{key}" for key in keys.values)]
        options += ["--config-dir"] if keys.groups else []
        return [option for option in options if option.startswith(word)]
    found = _overrides(name, [item for item in before if "=" in item], word)
    known = {group.name for group in keys.groups} | set(keys.values)
    known |= {"hydra"} if "sweep" in known else set()
    own = [match for match in found if _first_part(match) in known]
    return own or _files(word)


def _overrides(name: str, before: list[str], word: str) -> Iterable[str]:
    """Return Hydra's own answer: groups and their options, keys and their values."""
    from hydra import initialize_config_dir
    from hydra._internal.core_plugins.bash_completion import BashCompletion
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        plugin = BashCompletion(GlobalHydra.instance().config_loader())
        return plugin._query(config_name=name, line=" ".join([*before, word]))


def _first_part(match: str) -> str:
    return match.lstrip("+~").partition("=")[0].split("/")[0].split(".")[0]


def _files(word: str) -> list[str]:
    """Return the files that a value may become: of `ckpt_path=runs/`, what is in there."""
    key, equals, value = word.partition("=")
    if not equals:
        return []
    found = sorted(glob.glob(f"{glob.escape(value)}*"))
    return [f"{key}={path}{'/' if os.path.isdir(path) else ''}" for path in found]
