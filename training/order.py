"""What the command line of a family asks for, checked as far as it can be before any data is read.

Knows nothing about how it is carried out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from training.command_line import Fields, Values, build_parser, flag, gather, settle
from training.models.config import LanguageConfig
from training.models.families import FAMILIES
from training.run import RunConfig, read_config
from training.settings import (
    Counting,
    Folder,
    GradientMachine,
    LanguageData,
    LanguageOptimisation,
    Machine,
    Optimisation,
    PairsData,
    PairsOptimisation,
)

# The sizes of vocabularies are found when the tokenizers are fitted.
FOUND = frozenset({"vocabulary_size", "source_vocabulary_size"})
# What a resumed run may be told anew: how long it goes on, what it reports and where it computes.
_RESUMABLE = frozenset(
    {"steps", "minutes", "patience", "validate_every", "validate_seconds", "checkpoint_every"}
    | {"decoded_pairs", "validation_tokens", "threads", "accelerator", "devices", "strategy"}
)


@dataclass(frozen=True, slots=True)
class Order:
    """One run to be made or continued.

    Attributes:
        family: a name in `FAMILIES`.
        model: the family's config; its vocabulary sizes are upper bounds unless the run is `resumed`.
        data, train, machine: how it is trained.
        folder: the run folder.
        overwrite: whether to replace a run that is there.
        resumed: whether the folder's own run goes on.
    """

    family: str
    model: LanguageConfig
    data: LanguageData | PairsData
    train: Optimisation | Counting
    machine: Machine
    folder: Path
    overwrite: bool = False
    resumed: bool = False

    @property
    def config(self) -> RunConfig:
        """What config.json says of this run."""
        return RunConfig(
            family=self.family,
            model=self.model.model_dump(mode="json"),
            data=self.data.model_dump(mode="json"),
            train=self.train.model_dump(mode="json") | self.machine.model_dump(mode="json"),
        )


def read_order(family: str, arguments: Sequence[str]) -> Order:
    """Read the arguments behind the family's name. Raises ValueError, one line; exits for --help."""
    schema = _schema(family)
    groups: dict[str, Fields] = {heading: settings.model_fields for heading, settings in schema.items()}
    groups["model"] = {name: field for name, field in groups["model"].items() if name not in FOUND}
    parser = build_parser(f"python -m training {family}", _description(family), groups)
    if FAMILIES[family].fit == "gradient":
        parser.add_argument("--resume", metavar="RUN", help="continue the run in this folder")
    flags = vars(parser.parse_args(arguments))
    resume = flags.pop("resume", None)
    if resume is not None:
        return _resumed(family, Path(resume), flags)
    values = gather(flags, groups)
    folder = settle(Folder, values)
    data = settle(schema["data"], values)
    assert isinstance(data, LanguageData | PairsData)
    sizes = dict.fromkeys(FOUND & schema["model"].model_fields.keys(), data.vocabulary_size)
    return _order(family, values, sizes, folder)


def _resumed(family: str, path: Path, flags: Values) -> Order:
    if fixed := sorted(flags.keys() - _RESUMABLE):
        raise ValueError(f"{flag(fixed[0])}: cannot be given with --resume, the run keeps its own")
    config = read_config(path)
    if config.family != family:
        raise ValueError(f"--resume: {path} is a run of {config.family}, not of {family}")
    sizes = {name: size for name, size in config.model.items() if name in FOUND}
    values = config.model | config.data | config.train | flags
    return _order(family, values, sizes, Folder(out=path), resumed=True)


def _order(family: str, values: Values, sizes: dict[str, int], folder: Folder, *, resumed: bool = False) -> Order:
    schema = _schema(family)
    model = settle(schema["model"], values | sizes)
    data, train, machine = (settle(schema[part], values) for part in ("data", "training", "machine"))
    assert isinstance(model, LanguageConfig)
    assert isinstance(data, LanguageData | PairsData)
    assert isinstance(train, Optimisation | Counting)
    assert isinstance(machine, Machine)
    path = folder.out or Path("runs") / family
    return Order(family, model, data, train, machine, path, folder.overwrite, resumed)


def _schema(family: str) -> dict[str, type[BaseModel]]:
    entry = FAMILIES[family]
    pairs, counting = entry.task == "pairs", entry.fit == "counting"
    by_gradient = PairsOptimisation if pairs else LanguageOptimisation
    return {
        "model": entry.config,
        "data": PairsData if pairs else LanguageData,
        "training": Counting if counting else by_gradient,
        "machine": Machine if counting else GradientMachine,
        "run": Folder,
    }


def _description(family: str) -> str:
    text = (FAMILIES[family].config.__doc__ or "").split("\n", maxsplit=1)[0].replace("`", "")
    return f"Train {text}" if text else f"Train {family}."
