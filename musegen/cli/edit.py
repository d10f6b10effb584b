"""vary, blend, grid, continue, groove, drumify: the verbs that make other music of yours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musegen.cli.common import (
    Number,
    Outputs,
    Talk,
    is_file_name,
    label,
    listing,
    more_options,
    music_options,
    perform,
    read_score,
    seed_or_new,
    temperature_option,
)

if TYPE_CHECKING:
    from musegen.score import Score


def stem(path: str) -> str:
    """What names of files begin with that are made of an input."""
    return "music" if path == "-" else Path(path).stem


def of_one(
    verb: str,
    ending: str,
    file: str,
    n: int,
    out: str,
    model: str | Callable[[Score], str],
    seed: int | None,
    force: bool,
    png: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """A verb that makes `n` pieces of one file, NAME-ENDING-01.mid and so on; `verb` is the name of
    the pipeline's method, `model` may depend on the music.
    """
    talk = Talk(quiet, as_json)
    if n > 1 and is_file_name(out):
        raise click.UsageError("with -n above 1, -o must be a folder")
    names = [f"{stem(file)}-{ending}-{i:02d}" for i in range(1, n + 1)]
    outputs = Outputs.plan(out, names, png=png, force=force)
    score = read_score(file, talk)
    chosen = model if isinstance(model, str) else model(score)
    seed = seed_or_new(seed, talk)
    more: dict[str, Any] = {"name": label(file), "say": talk.say, "talk": talk, "outputs": outputs}
    scores = perform(chosen, verb, score, n, seed=seed, **more, **options)
    listing(talk, verb.rstrip("_"), outputs.write(scores), seed=seed, model=chosen)


@click.command()
@click.argument("file")
@click.option("-n", default=4, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--amount", type=Number(0, 1), help="0 is the same, 1 something else; 0.3 if silent.")
@click.option(
    "--attribute",
    "pairs",
    multiple=True,
    metavar="NAME=MUCH",
    help="More or less of it: diatonic, density, interval, syncopation-16, syncopation-8.",
)
@click.option("--track", help="Melody track, by name or number.")
@click.option("--steps", type=click.IntRange(1, 1000), help="Of a diffusion sampler.")
@temperature_option
@music_options
def vary(pairs: tuple[str, ...], **options: Any) -> None:
    """Make variations of FILE, the nearest first.

    \b
    Examples:
      musegen vary riff.mid -n 8 --amount 0.2 -o variations --png
      musegen vary loop.mid --model drums-2bar -o loops
      musegen vary riff.mid --attribute density=+1.5 --attribute diatonic=1 -o busier
    """
    try:
        attributes = {name: float(much) for name, much in (pair.split("=") for pair in pairs)}
    except ValueError:
        raise click.UsageError("write --attribute as NAME=MUCH, for example density=+1.5") from None
    of_one("vary", "variation", attributes=attributes or None, **options)


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--weight", type=Number(0, 1), help="0 is A, 1 is B; 0.5 if silent.")
@click.option("--track-a", help="Melody track of A, by name or number.")
@click.option("--track-b", help="Melody track of B, by name or number.")
@click.option("--fit", type=click.Choice(["loop", "pad"]), help="Repeat the shorter, or rest.")
@temperature_option
@music_options
def blend(
    a: str,
    b: str,
    track_a: str | None,
    track_b: str | None,
    out: str,
    model: str,
    seed: int | None,
    force: bool,
    png: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Make one piece between A and B.

    \b
    Examples:
      musegen blend verse.mid chorus.mid --weight 0.4 -o between.mid
    """
    talk = Talk(quiet, as_json)
    if a == b == "-":
        raise click.UsageError("standard input can be A or B, not both")
    outputs = Outputs.plan(out, [f"{stem(a)}-{stem(b)}-blend"], png=png, force=force)
    scores = read_score(a, talk), read_score(b, talk)
    seed = seed_or_new(seed, talk)
    tracks, names = (track_a, track_b), (label(a), label(b))
    more: dict[str, Any] = {"tracks": tracks, "names": names, "say": talk.say}
    made = perform(model, "blend", *scores, seed=seed, **more, **options)
    listing(talk, "blend", outputs.write([made]), seed=seed, model=model)


@click.command()
@click.argument("corners", nargs=4)
@click.option("--size", default=4, show_default=True, type=click.IntRange(2, 32), help="Rows.")
@click.option("--fit", type=click.Choice(["loop", "pad"]), help="Repeat the shorter, or rest.")
@temperature_option
@music_options
def grid(
    corners: tuple[str, str, str, str],
    size: int,
    out: str,
    model: str,
    seed: int | None,
    force: bool,
    png: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Fill a plane between four pieces: A and B at the ends of the first row, C and D of the last.

    \b
    Examples:
      musegen grid a.mid b.mid c.mid d.mid --size 5 -o plane --png
    """
    talk = Talk(quiet, as_json)
    if corners.count("-") > 1:
        raise click.UsageError("standard input can be one of the four")
    names = [f"grid-{r + 1:02d}-{p + 1:02d}" for r in range(size) for p in range(size)]
    if is_file_name(out):
        raise click.UsageError("a grid is many files: -o must be a folder")
    outputs = Outputs.plan(out, names, png=png, force=force)
    scores = tuple(read_score(corner, talk) for corner in corners)
    seed = seed_or_new(seed, talk)
    more: dict[str, Any] = {"names": tuple(map(label, corners)), "say": talk.say}
    made = perform(model, "grid", scores, size=size, seed=seed, **more, **options)
    listing(talk, "grid", outputs.write(made), seed=seed, model=model)


@click.command("continue")
@click.argument("file")
@click.option("-n", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--bars", type=click.IntRange(1, 256), help="Bars to add.")
@click.option("--seconds", type=Number(1, 3600), help="Seconds to add, in free time.")
@click.option("--chords", help='Chords to go on over, as "C Am F G".')
@temperature_option
@more_options
@music_options
def continue_(**options: Any) -> None:
    """Go on where FILE ends; what is there stays as it is.

    \b
    Examples:
      musegen continue sketch.mid --model performance --seconds 20 -o longer.mid
    """
    of_one("continue_", "continued", **options)


@click.command()
@click.argument("file")
@click.option("-n", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--amount", type=Number(0, 1), help="0 is yours, 1 the model's; 1 if silent.")
@click.option("--timing", type=Number(0, 1), help="0 leaves onsets where they are; 1 if silent.")
@click.option("--track", help="Only this track, by name or number.")
@click.option(
    "--temperature", type=Number(0, 5), help="How far it strays; 0 plays as usual; 0.7 if silent."
)
@music_options
@click.pass_context
def groove(ctx: click.Context, /, model: str, **options: Any) -> None:
    """Play a stiff FILE: the same notes with other velocities, and onsets a little off.

    What the model knows how to play is played, every track by itself; all else stays as it is.

    \b
    Examples:
      musegen groove stiff.mid -n 4 -o played --png
      musegen groove song.mid --track piano --amount 0.5 --seed 3 -o song-played.mid
    """
    from click.core import ParameterSource

    default = ctx.get_parameter_source("model") == ParameterSource.DEFAULT
    player = (lambda score: _player(score, model)) if default else model
    of_one("groove", "played", model=player, **options)


def _player(score: Score, otherwise: str) -> str:
    """The first shipped model that plays what a score has: pitched notes, or drums alone."""
    from musegen import pretrained
    from musegen.representations.groove import Groove

    drums = all(t.is_drum for t in score.tracks if len(t))
    for name in pretrained.names():
        if "groove" in pretrained.verbs(name):
            kit = pretrained.read_config(pretrained.locate(name))["representation"]["kit"]
            if Groove(kit=kit).pitched != drums:
                return name
    return otherwise


@click.command()
@click.argument("file")
@click.option("-n", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--track", help="Whose rhythm, by name or number; the melody's by default.")
@click.option("--alone", is_flag=True, default=None, help="The drums without the music.")
@temperature_option
@music_options
def drumify(**options: Any) -> None:
    """Play drums to the rhythm of FILE: the onsets of its melody, of a track, or of taps.

    \b
    Examples:
      musegen drumify riff.mid --model MODEL -n 4 -o with-drums --png
      musegen drumify song.mid --model MODEL --track bass --alone --seed 5 -o beat.mid
    """
    of_one("drumify", "drums", **options)
