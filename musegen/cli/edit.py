"""vary, blend, grid, continue, groove, drumify: the verbs that make other music of yours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from musegen.cli.common import (
    Number,
    Outputs,
    Talk,
    chosen,
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


def stem(path: str) -> str:
    """What names of files begin with that are made of an input."""
    return "music" if path == "-" else Path(path).stem


def of_one(
    verb: str,
    ending: str,
    file: str,
    n: int,
    out: str,
    model: str | None,
    seed: int | None,
    force: bool,
    png: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """A verb that makes `n` pieces of one file, NAME-ENDING-01.mid and so on."""
    talk = Talk(quiet, as_json)
    if n > 1 and is_file_name(out):
        raise click.UsageError("with -n above 1, -o must be a folder")
    names = [f"{stem(file)}-{ending}-{i:02d}" for i in range(1, n + 1)]
    outputs = Outputs.plan(out, names, png=png, force=force)
    score = read_score(file, talk)
    options["n"] = n
    model = chosen(model, verb, options, [score])
    seed = seed_or_new(seed, talk)
    more: dict[str, Any] = {"outputs": outputs, "seed": seed, "name": label(file)}
    scores, _ = perform(model, verb, [score], options, talk=talk, **more)
    listing(talk, verb, outputs.write(scores), seed=seed, model=model)


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
    model: str | None,
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
    scores = [read_score(a, talk), read_score(b, talk)]
    options["tracks"] = (track_a, track_b) if track_a or track_b else None
    model = chosen(model, "blend", options, scores)
    seed = seed_or_new(seed, talk)
    more: dict[str, Any] = {"seed": seed, "names": (label(a), label(b))}
    made, _ = perform(model, "blend", scores, options, talk=talk, **more)
    listing(talk, "blend", outputs.write(made), seed=seed, model=model)


def _four(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Reads "1,2,3,4"."""
    if value is None:
        return None
    seeds = value.split(",")
    if len(seeds) != 4 or not all(s.strip().isdecimal() and int(s) < 2**31 for s in seeds):
        raise click.BadParameter(f"{value!r}; write four numbers, as 1,2,3,4")
    return tuple(map(int, seeds))


@click.command()
@click.argument("corners", nargs=-1, metavar="[A B C D]")
@click.option("--seeds", callback=_four, help="Instead of files: what four seeds make, as 1,2,3,4.")
@click.option("--size", default=4, show_default=True, type=click.IntRange(2, 32), help="Rows.")
@click.option("--fit", type=click.Choice(["loop", "pad"]), help="Repeat the shorter, or rest.")
@temperature_option
@music_options
def grid(
    corners: tuple[str, ...],
    seeds: tuple[int, ...] | None,
    size: int,
    out: str,
    model: str | None,
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
      musegen grid --model band-4bar --seeds 1,2,3,4 -o plane
    """
    talk = Talk(quiet, as_json)
    if len(corners) != (0 if seeds else 4):
        raise click.UsageError("give four music files A B C D, or --seeds")
    if corners.count("-") > 1:
        raise click.UsageError("standard input can be one of the four")
    names = [f"grid-{r + 1:02d}-{p + 1:02d}" for r in range(size) for p in range(size)]
    if is_file_name(out):
        raise click.UsageError("a grid is many files: -o must be a folder")
    outputs = Outputs.plan(out, names, png=png, force=force)
    scores = [read_score(corner, talk) for corner in corners]
    options |= {"size": size, "seeds": seeds}
    model = chosen(model, "grid", options, scores)
    seed = seeds[0] if seeds else seed_or_new(seed, talk)
    more: dict[str, Any] = {"seed": seed, "names": tuple(map(label, corners))}
    made, _ = perform(model, "grid", scores, options, talk=talk, **more)
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
    of_one("continue", "continued", **options)


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
def groove(**options: Any) -> None:
    """Play a stiff FILE: the same notes with other velocities, and onsets a little off.

    What the model knows how to play is played, every track by itself; all else stays as it is.

    \b
    Examples:
      musegen groove stiff.mid -n 4 -o played --png
      musegen groove song.mid --track piano --amount 0.5 --seed 3 -o song-played.mid
    """
    of_one("groove", "played", **options)


@click.command()
@click.argument("file")
@click.option("-n", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--track", help="Whose rhythm, by name or number; the melody's by default.")
@click.option("--alone", is_flag=True, default=None, help="The drums without the music.")
@temperature_option
@music_options
def drumify(**options: Any) -> None:
    """Play drums to the rhythm of FILE: the onsets of its melody, of a track, or of taps.

    They join the music, from the bar of the first note to the last; a hit beside a note is as loud
    as the note.

    \b
    Examples:
      musegen drumify riff.mid -n 4 -o with-drums --png
      musegen drumify song.mid --track bass --alone --seed 5 -o beat.mid
    """
    of_one("drumify", "drums", **options)
