"""The options of every command and what `--help` says of them. Rich and the models are not imported here."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any

from .. import __version__
from ..train.config import Config, PretrainConfig, RunConfig, TextConfig

BENCHMARKS = ("gemm", "conv", "attention", "memory", "optimiser", "training", "networks", "language")

EXAMPLES = """examples:
  minivision train vit --data digits --out runs/vit  learn to read digits
  minivision train vit --out runs/vit --resume       go on after Ctrl-C
  minivision pretrain mae --out runs/mae             learn without labels
  minivision train vit --init runs/mae --labels 10   then learn from few labels
  minivision few-shot vit --init runs/mae            how much its features know
  minivision train gpt2_tiny --out runs/gpt2         learn to write
  minivision generate gpt2_tiny --init runs/gpt2     and write
  minivision models 'deit_*'                         some models by name
  minivision summary vit_base_patch16_224            every module of one
  minivision gradcheck                               prove every gradient
  minivision bench conv                              see how fast convolution is
  minivision exercise list                           write parts of it yourself
  minivision docs                                    read the lessons
  minivision doctor                                  see what this machine gives"""


def make_parser() -> ArgumentParser:
    """The whole command line."""
    look: Any = partial(RawDescriptionHelpFormatter, max_help_position=26)
    parser = ArgumentParser(
        "minivision", description="Vision papers on a tiny autograd engine.", epilog=EXAMPLES, formatter_class=look
    )
    parser.add_argument("--version", action="version", version=f"minivision {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_run(
        commands,
        "train",
        [Config, TextConfig],
        "train a model",
        "a name that `minivision models` lists; vit: one that suits the data",
    )
    _add_run(
        commands,
        "pretrain",
        [PretrainConfig],
        "train a model without labels",
        "mae or simmim: ones that suit the data; or mae_*, simmim_*",
    )
    _add_probes(commands)
    _add_generate(commands)
    models = commands.add_parser("models", help="list the models", description="The models by name, paper by paper.")
    models.add_argument("pattern", nargs="?", default="*", help="a name or a shell pattern such as 'deit_*' (default: all)")
    _add_summary(commands)
    proof = commands.add_parser(
        "gradcheck", help="prove every gradient", description="Holds every operation's closed form against four others."
    )
    proof.add_argument("pattern", nargs="?", default="*", help="an operation or a shell pattern such as '*norm' (default: all)")
    _add_bench(commands)
    _add_exercise(commands)
    docs = commands.add_parser(
        "docs", help="open the lessons in the browser", description="Opens the site that `make docs` builds."
    )
    docs.add_argument("--site", metavar="DIR", type=Path, help="where it was built (default: tutorials/_build/html)")
    commands.add_parser("doctor", help="show what this machine gives", description="Versions, compiler, kernels, threads, speed.")
    return parser


def _add_run(commands: Any, name: str, kinds: Sequence[type[RunConfig]], text: str, models: str) -> None:
    """A command that trains: its settings are those of a configuration."""
    what = f"{text[0].upper()}{text[1:]}; figures, weights and a picture are left in --out."
    run = commands.add_parser(name, help=text, description=what)
    run.add_argument("model", metavar="MODEL", help=models)
    run.add_argument("--out", metavar="DIR", type=Path, help="folder for the results (default: runs/MODEL)")
    run.add_argument("--resume", action="store_true", help="go on with the run in --out; it ends as if it had never stopped")
    run.add_argument(
        "--threads", metavar="N", type=int, help="threads to compute with: same bits for any (default: all processors)"
    )
    known = {}
    for setting in (each for kind in kinds for each in fields(kind) if "help" in each.metadata):
        if setting.name not in known:
            known[setting.name] = setting
            _add_setting(run, setting)


def _add_probes(commands: Any) -> None:
    """Two commands that look at frozen features."""
    linear = "Softmax regression on the features of all training images, beside those of random weights and bare pixels."
    few = "Least squares on the features of a few images of each class, beside those of random weights and bare pixels."
    for name, text, what in ("probe", "how good frozen features are", linear), ("few-shot", "the same, with few labels", few):
        look = commands.add_parser(name, help=text, description=what)
        look.add_argument("model", metavar="MODEL", help="a name that `minivision models` lists; vit: one that suits the data")
        look.add_argument(
            "--init", metavar="PATH", help="its weights: the folder of a run, or a checkpoint (default: random ones)"
        )
        look.add_argument("--data", metavar="NAME", default="digits", help="as `minivision train` takes it (default: digits)")
        look.add_argument("--pool", choices=("token", "avg"), help="read a ViT's class token, or the mean of its patches")
        if name == "few-shot":
            shots: Any = {"nargs": "+", "type": int, "metavar": "N"}
            look.add_argument(
                "--shots", **shots, help="labelled images of each class (default: 1 2 5 10 20, as far as there are)"
            )
            look.add_argument("--draws", metavar="N", type=int, default=10, help="times that they are drawn (default: 10)")
        look.add_argument(
            "--seed", metavar="N", type=int, default=0, help="of the split, the random weights, the draws (default: 0)"
        )
        look.add_argument("--threads", metavar="N", type=int, help="threads to compute with (default: all processors)")


def _add_generate(commands: Any) -> None:
    what = "A language model goes on with a text, token by token, each as soon as it is drawn."
    write = commands.add_parser("generate", help="go on with a text", description=what)
    write.add_argument("model", metavar="MODEL", help="a model that writes: gpt2 and its sizes, gpt2_tiny, gpt3_tiny, ...")
    place = "its weights: the folder of a run, or a file; vocab.json and merges.txt are beside them"
    write.add_argument("--init", metavar="PATH", required=True, help=place)
    write.add_argument("--prompt", metavar="TEXT", default="", help="what the text begins with (default: a line's end)")
    write.add_argument("--tokens", metavar="N", type=int, default=200, help="to write at most (default: 200)")
    write.add_argument("--temperature", metavar="X", type=float, default=1.0, help="0: always the likeliest token (default: 1)")
    write.add_argument("--top-k", metavar="N", type=int, default=40, help="draw among so many; 0: all (default: 40)")
    write.add_argument("--top-p", metavar="X", type=float, default=1.0, help="and among the fewest with this share (default: 1)")
    write.add_argument("--seed", metavar="N", type=int, default=0, help="of what is drawn (default: 0)")
    write.add_argument("--threads", metavar="N", type=int, help="threads to compute with (default: all processors)")


def _add_setting(parser: ArgumentParser, setting: Any) -> None:
    """--setting VALUE; absent ones stay None, so that a resumed run can tell what was asked for."""
    default = setting.default if setting.default is not MISSING else setting.default_factory()
    flag, name = setting.name.replace("_", "-"), setting.name
    if isinstance(default, bool):
        word, way = ("no-", "without") if default else ("", "with")
        parser.add_argument(
            f"--{word}{flag}", dest=name, action="store_const", const=not default, help=f"{way} {setting.metadata['help']}"
        )
    else:
        text = f"{setting.metadata['help']} (default: {'none' if default == '' else default})"
        parser.add_argument(
            f"--{flag}",
            dest=name,
            metavar=setting.metadata.get("metavar") or {int: "N", float: "X"}.get(type(default), "NAME"),
            type=type(default),
            choices=[each for each in setting.metadata.get("choices", ()) if each] or None,
            help=text,
        )


def _add_summary(commands: Any) -> None:
    summary = commands.add_parser(
        "summary", help="show a model's modules", description="Every module's output, parameters and multiply-adds."
    )
    summary.add_argument("model", metavar="NAME", help="a name that `minivision models` lists")
    summary.add_argument("--img-size", metavar="N", type=int, help="side of the image (default: the model's own)")
    summary.add_argument("--num-classes", metavar="N", type=int, help="number of classes (default: the model's own)")
    summary.add_argument("--depth", metavar="N", type=int, default=3, help="how deep into the modules to look (default: 3)")


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench", help="time kernels and training steps", description="Beside the machine's limits, NumPy and PyTorch, in one run."
    )
    bench.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(BENCHMARKS)} (default: all)")
    bench.add_argument("--only", metavar="PATTERN", default="*", help="workloads by group and name, such as '*3x3*'")
    bench.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch (default: this one, if it has)")
    bench.add_argument("--rounds", metavar="N", type=int, default=5, help="turns of each engine (default: 5)")
    bench.add_argument("--seconds", metavar="X", type=float, default=0.1, help="for each workload in a turn (default: 0.1)")
    bench.add_argument("--threads", metavar="N", type=int, help="threads of every engine (default: all processors)")
    bench.add_argument("--json", metavar="FILE", help="write everything that was measured")
    bench.add_argument("--picture", metavar="FILE", help="draw the roofline as a PNG")


def _add_exercise(commands: Any) -> None:
    what = "Write parts of the library yourself, and have them checked. Files and progress are in the current folder."
    actions = commands.add_parser("exercise", help="write parts of it yourself", description=what).add_subparsers(
        dest="action", metavar="ACTION"
    )
    for name, text, needed in [
        ("list", "what there is, and how far you are (default)", None),
        ("start", "write the file of an exercise, with a hole where your code goes", True),
        ("check", "tell whether it is right, and where it is not", False),
        ("watch", "check at each save until it passes", False),
        ("hint", "show the next hint", False),
        ("reset", "write the file anew; yours is kept beside it", True),
        ("solution", "show the library's own, once yours has passed", True),
    ]:
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if needed is not None:
            which = "an exercise that `minivision exercise list` shows"
            action.add_argument(
                "id", metavar="ID", nargs=None if needed else "?", help=which + ("" if needed else " (default: the current one)")
            )
        if name in ("check", "watch"):
            action.add_argument("--seconds", metavar="X", type=float, default=10.0, help="time limit of your code (default: 10)")
    _add_teaching(actions)


def _add_teaching(actions: Any) -> None:
    grade = actions.add_parser("grade", help="for teachers: grade a folder of submissions", description="Grade submissions.")
    grade.add_argument("folder", metavar="DIR", type=Path, help="a submission, or a folder of one folder for each student")
    grade.add_argument("--one", action="store_true", help="DIR is one submission, whatever is in it")
    only: Any = {"nargs": "+", "metavar": "ID", "help": "exercises or lessons of the assignment (default: all)"}
    grade.add_argument("--only", **only)
    grade.add_argument("--out", metavar="DIR", type=Path, help="where results.json, JUnit XML, a table go (default: DIR-grades)")
    grade.add_argument("--jobs", metavar="N", type=int, default=1, help="submissions graded at once (default: 1)")
    grade.add_argument("--seconds", metavar="X", type=float, default=10.0, help="time limit of each exercise (default: 10)")
    bundle = actions.add_parser("bundle", help="for teachers: make the files of an assignment", description="Make the files.")
    bundle.add_argument("--only", **only)
    bundle.add_argument("--out", metavar="DIR", type=Path, help="where they go (default: the current folder)")
