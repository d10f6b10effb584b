"""What all verbs share: options, where results go, talk on stderr."""

from __future__ import annotations

import json
import math
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from musegen.errors import MusegenError, OptionError

if TYPE_CHECKING:
    from musegen.score import Score

F = TypeVar("F", bound=Callable[..., Any])
SCHEMA = 1


@dataclass(frozen=True)
class Talk:
    """Where words go: results on stdout, talk on stderr unless quiet."""

    quiet: bool = False
    as_json: bool = False

    def say(self, text: str) -> None:
        """A remark."""
        if not self.quiet:
            click.echo(text, err=True)

    def result(self, verb: str, data: Mapping[str, Any], lines: Sequence[str]) -> None:
        """The verb's result: one JSON document with --json, else lines."""
        if self.as_json:
            click.echo(json.dumps({"schema": SCHEMA, "verb": verb, **data}))
        else:
            for line in lines:
                click.echo(line)

    def bar(self, total: int, words: str) -> Any:
        """A tqdm progress bar with time left; silent when quiet or when stderr is no terminal."""
        from tqdm import tqdm

        hidden = self.quiet or not sys.stderr.isatty()
        return tqdm(total=total or None, desc=words, disable=hidden, file=sys.stderr)


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


talk_options = _options(
    click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr."),
)


def _models(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    """Shipped models with the verb, for completion in a shell."""
    from musegen import pretrained

    able = (name for name in pretrained.names() if ctx.command.name in pretrained.verbs(name))
    return [name for name in able if name.startswith(begun)]


music_options = _options(
    click.option(
        "-o",
        "--out",
        default=".",
        show_default="here",
        help="A folder, a .mid file, or - for standard output.",
    ),
    click.option(
        "--model",
        shell_complete=_models,
        help="Name or folder; melody-2bar where it can do what is asked, else what can.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        help="Same seed, same bytes. Drawn when not given, always printed and stored.",
    ),
    click.option("--force", is_flag=True, help="Overwrite existing files."),
    click.option("--png", is_flag=True, help="Also draw a piano roll beside each file."),
    click.option(
        "--stems",
        is_flag=True,
        expose_value=False,
        callback=lambda ctx, param, wanted: ctx.meta.update(stems=wanted),
        help="Also write each track to a file of its own, as long as the whole.",
    ),
    talk_options,
)


class Number(click.FloatRange):
    """A number in a range, which "nan" is not."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """As FloatRange does, with one more refusal."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


def _by_track(number: Callable[[str], float]) -> Callable[..., Any]:
    """Reads "0.5", or "drums=0.3,bass=0.6"."""

    def read(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        try:
            if "=" not in value and param.name != "programs":
                return number(value)
            pairs = (pair.split("=") for pair in value.split(","))
            return {name.strip().lower(): number(text) for name, text in pairs}
        except ValueError:
            raise click.BadParameter(f"{value!r}; write for example drums=1,bass=2") from None

    return read


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Reads "drums,bass"."""
    return None if value is None else tuple(part.strip().lower() for part in value.split(","))


# What some families take; the others say that they do not.
more_options = _options(
    click.option("--rhythm", help='To set: a file, or lengths in beats, as "1 1/2 1/2 (1) 2".'),
    click.option("--quantize", type=click.IntRange(1, 96), help="Notes to a grid of N a beat."),
    click.option("--top-p", type=Number(0, 1), help="Draw from the likeliest of this much mass."),
    click.option("--steps", type=click.IntRange(1, 1000), help="Of a diffusion sampler."),
    click.option("--sampler", help="ddpm, ddim, dpm++2m or heun."),
    click.option("--guidance", type=Number(0, 50), help="How closely chords are followed."),
    click.option("--mute", callback=_names, help="Tracks to leave out, as drums,bass."),
    click.option(
        "--threshold",
        callback=_by_track(float),
        help="Above it a cell sounds: one number, or as drums=0.3,bass=0.6.",
    ),
    click.option(
        "--programs", callback=_by_track(int), help="MIDI programs of tracks, as bass=38,piano=4."
    ),
)
tempo_option = click.option("--tempo", type=Number(10, 400), help="Quarter notes a minute.")
pedal_option = click.option(
    "--pedal", is_flag=True, help="Notes of a MIDI file last while the sustain pedal is down."
)
key_option = click.option("--key", help="Transpose into this key, e.g. C, F#, Bbm.")


NOUNS = {"Melody": "melody", "Drums": "drums", "Trio": "trio", "Pianoroll": "band"}
NOUNS |= {"Tuples": "performance", "OnsetRoll": "piano", "satb": "chorale"}


def noun(model: str) -> str:
    """What a model's music is called in file names, without loading its weights.

    Raises:
        ModelError: there is no such model.
    """
    from musegen import pretrained

    config = pretrained.read_config(pretrained.locate(model))
    shape = config["representation"]
    kind = "satb" if shape.get("tracks") == "satb" else str(shape.get("kind"))
    return NOUNS.get(kind, "music")


_KEPT: list[dict[str, Any]] = []


@contextmanager
def models_kept() -> Iterator[None]:
    """Within it, `perform` loads each model once."""
    _KEPT.append({})
    try:
        yield
    finally:
        _KEPT.pop()


# What -o is surely no folder with.
FILES = {".xml", ".mxl", ".musicxml", ".abc", ".json", ".jsonl", ".txt", ".wav", ".mp3", ".ogg"}
FILES |= {".flac", ".png", ".svg", ".dawproject", ".pyscript", ".kar", ".rmi"}
# Options that are not called as the pipelines' arguments are.
FLAGS = {"n": "-n", "attributes": "--attribute", "tracks": "--track-a, --track-b"}
FLAGS |= {"interpolate steps": "-n", "interpolate seeds": "--seed-a and --seed-b"}


def chosen(
    model: str | None, verb: str, options: Mapping[str, Any], music: Sequence[Score] = ()
) -> str:
    """The model that is asked for, or that of the verb with these options (not None) and music."""
    if model is not None:
        return model
    from musegen import pipeline

    return pipeline.default(verb, [k for k, v in options.items() if v is not None], music)


def perform(
    model: str,
    verb: str,
    music: Sequence[Score],
    options: Mapping[str, Any],
    *,
    talk: Talk,
    outputs: Outputs | None = None,
    **more: Any,
) -> tuple[list[Score], Mapping[str, Any]]:
    """What a model's pipeline makes of music, and figures, as `Pipeline.ask` does; long work shows
    how far it is; with `outputs`, pieces are written as soon as they are made where the verb can
    say so, and stay when the rest is stopped.

    Raises:
        ModelError: no such model, or it lacks the verb.
        UsageError: the model's verb does not take an option.
    """
    from musegen import pipeline

    kept = _KEPT[-1] if _KEPT else {}
    if model not in kept:
        kept[model] = pipeline.load(model)
    more |= {"say": talk.say} | ({"finished": outputs.keep} if outputs else {})
    with _kept(outputs, talk), ExitStack() as stack:
        bars: list[Any] = []  # at most one, when there is something to tell

        def report(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(talk.bar(total, "sampling")))
            bars[0].update(done - bars[0].n)

        def spelled(option: str) -> str:
            plain = FLAGS.get(option, f"--{option.replace('_', '-')}")
            return FLAGS.get(f"{verb} {option}", plain)

        more["report"] = report
        try:
            made: tuple[list[Score], Mapping[str, Any]]
            made = kept[model].ask(verb, music, options, more, options, spelled)
        except OptionError as error:
            raise click.UsageError(f"{spelled(error.path)}: {error.reason}") from None
        except ValueError as error:  # what the options cannot be, in words
            raise click.UsageError(str(error)) from None
    return made


@contextmanager
def _kept(outputs: Outputs | None, talk: Talk) -> Iterator[None]:
    """Say what is finished when the rest is stopped."""
    try:
        yield
    except KeyboardInterrupt:
        if outputs is not None and outputs.kept:
            talk.say(f"{len(outputs.kept)} of {len(outputs.paths)} pieces are made and stay")
        raise


temperature_option = click.option(
    "--temperature", type=Number(0, 5), help="Higher is wilder, 0 takes the likeliest."
)


def seed_or_new(seed: int | None, talk: Talk) -> int:
    """The given seed or a drawn one; said either way."""
    seed = secrets.randbelow(2**31) if seed is None else seed
    talk.say(f"seed {seed}")
    return seed


@dataclass(frozen=True)
class Outputs:
    """Where scores go: one file each, or `-` for standard output.

    Checked before any work: nothing is overwritten without --force.
    """

    paths: tuple[Path, ...]
    png: bool
    force: bool
    kept: dict[int, dict[str, str]] = field(default_factory=dict)

    @staticmethod
    def plan(out: str, names: Sequence[str], *, png: bool, force: bool) -> Outputs:
        """Paths for `names` in folder `out`, or `out` itself when it is a file name or "-".

        Raises:
            MusegenError: something is there already, or the folder cannot be used.
        """
        if out == "-":
            context = click.get_current_context(silent=True)
            asked = {**context.params, **context.meta} if context else {}
            for flag, name in (("--png", "png"), ("--stems", "stems"), ("--json", "as_json")):
                if asked.get(name):
                    raise click.UsageError(f"{flag} does not go with -o -; give a folder or a file")
            return Outputs((Path("-"),), False, True)
        if is_file_name(out):
            paths: tuple[Path, ...] = (Path(out),)
        else:
            if Path(out).suffix.lower() in FILES and not Path(out).is_dir():
                raise click.UsageError(f"{out}: MIDI is written; end the name in .mid")
            if Path(out).exists() and not Path(out).is_dir():
                raise MusegenError(f"{out}: is a file; give a folder or a name ending in .mid")
            paths = tuple(Path(out) / f"{name}.mid" for name in names)
        pictures = [p.with_suffix(".png") for p in paths] if png else []
        for path in (*paths, *pictures):
            if path.exists() and not force:
                raise MusegenError(f"{path}: exists already; choose another -o or use --force")
        return Outputs(paths, png, force)

    def write(self, scores: Sequence[Score]) -> list[dict[str, str]]:
        """Write each score that is not there yet, and its picture; returns the paths."""
        for i, (score, _) in enumerate(zip(scores, self.paths, strict=True)):
            if i not in self.kept:
                self.keep(i, score)
        return [self.kept[i] for i in range(len(self.paths))]

    def keep(self, index: int, score: Score) -> None:
        """Write one of the scores, and its picture, now."""
        path = self.paths[index]
        row = {"midi": str(score.write(path, force=self.force))}
        if self.png:
            from musegen import plot

            title, png = path.stem, path.with_suffix(".png")
            row["png"] = str(plot.pianoroll(score, png, title=title, force=self.force))
        context = click.get_current_context(silent=True)
        if context is not None and context.meta.get("stems"):
            for name, part in stems(score):
                stem = path.with_name(f"{path.stem}-{name}.mid")
                row[f"stem-{name}"] = str(part.write(stem, force=self.force))
        self.kept[index] = row


def stems(score: Score) -> list[tuple[str, Score]]:
    """Each track of a score alone and what to call it, with the tempo and metre map, as long as
    the whole.
    """
    from musegen.names import instrument_name

    parts = []
    for i, track in enumerate(score.tracks):
        name = track.name or instrument_name(track.program, track.is_drum)
        plain = re.sub(r"[^\w]+", "_", name).strip("_").lower()[:40] or "track"
        parts.append((f"{i + 1:02d}-{plain}", replace(score, tracks=(track,), length=score.end)))
    return parts


def is_file_name(out: str) -> bool:
    """Whether -o names one file: "-" or something that ends in .mid."""
    return out == "-" or Path(out).suffix.lower() in (".mid", ".midi")


def is_music(text: str | None) -> bool:
    """Whether an option names a file, or standard input, where it may be a line of text too."""
    return text is not None and (text == "-" or Path(text).suffix[1:].isalpha())


def read_score(path: str, talk: Talk | None = None, *, pedal: bool = False) -> Score:
    """A score from a path or from standard input; what had to be mended is said."""
    from musegen import midi

    score = midi.read(path, pedal=pedal)
    if talk:
        for remark in score.remarks:
            talk.say(f"{'standard input' if path == '-' else path}: {remark}")
    return score


def listing(talk: Talk, verb: str, written: list[dict[str, str]], **data: Any) -> None:
    """Paths on stdout, one a line; nothing when the music itself went there."""
    if [row["midi"] for row in written] == ["-"]:
        return
    lines = [path for row in written for path in row.values()]
    talk.result(verb, {"files": written, **data}, lines)


def label(path: str) -> str:
    """What to call an input in remarks."""
    return "standard input" if path == "-" else Path(path).name
