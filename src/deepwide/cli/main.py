"""The `deepwide` command: its list of subcommands, and what happens to errors.

Each subcommand is imported when it is asked for, so that `--help` and `count` start at once.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from importlib import import_module
from io import TextIOWrapper

import click

from deepwide.errors import BadInput

# Name -> what the first screen says of it. The order is the order of the questions a user asks.
COMMANDS = {
    "count": "Parameters of a model: how many, where, and by which formula.",
    "memory": "Does it fit? Bytes of weights, KV cache, activations, training state.",
    "predict": "How long it takes and how good it gets: a token, a training run, the loss.",
    "compare": "Shapes side by side: parameters, loss, latency, memory.",
    "explain": "Why is hidden so large? What width buys and costs, beside other shapes.",
    "design": "The best shape under limits, why, and what each limit costs.",
    "train": "Builds the very model that was counted, trains it, and says whether the prediction held.",
    "sweep": "Which shape learns best at equal size: shapes by seeds, ranked with their noise, beside the law.",
    "finetune": "A trained model learns another text: all of its weights, or adapters beside them.",
    "distill": "A model of any shape learns from a larger one that was trained before.",
    "runs": "What was trained: every run, its curve beside its prediction, runs side by side.",
    "generate": "What a trained model writes, and what happens to a token inside.",
    "probe": "Looks inside a model: gradients, likeness of tokens, attention, memories, tangent kernel.",
    "quantize": "A run in 8 or 4 bits: what it loses, the bytes it lies in, how quick it is.",
    "prune": "A run with fewer layers, heads or channels, beside what it was.",
    "export": "Writes a trained run for Hugging Face, or a model's shape for a training engine.",
    "calibrate": "Measures this machine, so that --on this predicts it; or corrects the model by your runs.",
    "claims": "The claims book: what five documents state of shapes, computed anew and judged.",
    "serve": "The page: any model at once, deep against wide at its size, a second beside it.",
    "models": "The catalogue of published models.",
    "accelerators": "The catalogue of accelerators.",
    "completion": "Shell completion: what to add to your shell's start-up file.",
}
LONGEST_MESSAGE, HEAD = 600, 300  # of a longer one, its head and its tail are shown
EXAMPLES = """\b
Start here:
  deepwide count llama-3-8b --explain
  deepwide memory llama-2-13b --on rtx-3060-12gb --weights int4
  deepwide compare llama-3-8b llama-3-8b,layers=64,hidden=2880 --on h100
  deepwide design --parameters 10B --on h100

\b
MODEL is a catalogue name (llama-3-8b), a path (config.json, a folder, .safetensors, .gguf),
a known model with changes (llama-3-8b,layers=48), or shorthand (like=llama,layers=32,hidden=4096).
"""


class Commands(click.Group):
    """A group whose subcommands are imported when they are called, and listed without being imported.

    `table` says what each does, `modules` how the name of its module begins.
    """

    table: Mapping[str, str] = COMMANDS
    modules = "deepwide.cli."

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in self.table:
            return None
        command: click.Command = import_module(f"{self.modules}{cmd_name}").command
        gc.freeze()  # what start-up made stays; only what the command makes is looked through
        gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.table.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, or an error that names the nearest one."""
        if args and args[0] not in self.table and not args[0].startswith("-"):
            from deepwide.errors import did_you_mean

            near = did_you_mean(args[0], self.table)
            raise BadInput(f"no command called {args[0]!r}{near}; `{ctx.command_path} --help` lists them")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="deepwide")
def cli() -> None:
    """Deep or wide? Transformer shapes taken apart, priced and compared, with numbers that can be checked."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line. Exit 0 done, 1 the answer is no, 2 bad input, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a bar or a Δ that the terminal cannot show stops no answer
    try:
        words = sys.argv[1:] if arguments is None else arguments
        code = cli.main(words, prog_name="deepwide", standalone_mode=False, obj=tuple(words))
    except BadInput as error:
        code = _refused(str(error))
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        code = 130
    except click.ClickException as error:
        code = _refused(error.format_message())
    except OSError as error:
        code = _refused(f"the answer cannot be written: {error.strerror or error}")
    except SystemExit:  # click's answer to a reader that left, as `head` does: that is no error, and no "no"
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _refused(message: str) -> int:
    """Says in one line of bearable length what was wrong; the exit code of bad input."""
    line = " ".join(message.split())
    middle = len(line) - LONGEST_MESSAGE
    click.echo(f"Error: {line if middle <= 0 else f'{line[:HEAD]}...{line[HEAD + middle :]}'}", err=True)
    return 2
