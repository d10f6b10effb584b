"""generate, interpolate, reconstruct: the verbs that make music."""

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
    is_music,
    key_option,
    label,
    listing,
    more_options,
    music_options,
    noun,
    perform,
    read_score,
    seed_or_new,
    temperature_option,
    tempo_option,
)


@click.command()
@click.option("-n", default=1, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@click.option("--bars", type=click.IntRange(1, 256), help="Length; the model's own by default.")
@click.option("--seconds", type=Number(1, 3600), help="Length of music in free time.")
@click.option("--style", help="A kind of music the model knows (see musegen models).")
@click.option("--chords", help='Chords to play over, as "C Am F G" (models that take chords).')
@temperature_option
@tempo_option
@key_option
@more_options
@music_options
def generate(
    n: int,
    key: str | None,
    out: str,
    model: str | None,
    seed: int | None,
    force: bool,
    png: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Make new music.

    \b
    Examples:
      musegen generate -n 8 -o out --png
      musegen generate --model melody-16bar --key Am --tempo 96 --seed 7 -o tune.mid
      musegen generate --model drums-2bar -n 4 -o loops
      musegen generate --rhythm "1 1/2 1/2 (1) 1" --bars 8 -o piano.mid
      musegen generate --rhythm tune.mid -o piano.mid
      musegen generate -o - | other-program
    """
    talk = Talk(quiet, as_json)
    if n > 1 and is_file_name(out):
        raise click.UsageError("with -n above 1, -o must be a folder")
    if key:
        _check_key(key)
    options |= {"n": n, "key": key}
    more: dict[str, Any] = {}
    if is_music(rhythm := options["rhythm"]):
        options["rhythm"], more["name"] = read_score(rhythm, talk), label(rhythm)
    model = chosen(model, "generate", options)
    names = [f"{noun(model)}-{i:02d}" for i in range(1, n + 1)]
    outputs = Outputs.plan(out, names, png=png, force=force)
    seed = seed_or_new(seed, talk)
    more |= {"outputs": outputs, "seed": seed}
    scores, _ = perform(model, "generate", [], options, talk=talk, **more)
    listing(talk, "generate", outputs.write(scores), seed=seed, model=model)


def _check_key(key: str) -> None:
    from musegen.melody import parse_key

    try:
        parse_key(key)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@click.command()
@click.argument("a", required=False)
@click.argument("b", required=False)
@click.option("-n", default=8, show_default=True, type=click.IntRange(2, 1000), help="Pieces.")
@click.option("--seed-a", type=click.IntRange(0, 2**31 - 1), help="Instead of A: what it makes.")
@click.option("--seed-b", type=click.IntRange(0, 2**31 - 1), help="Instead of B: what it makes.")
@click.option("--bars", type=click.IntRange(1, 256), help="Length; the longer one's by default.")
@click.option("--track-a", help="Melody track of A, by name or number.")
@click.option("--track-b", help="Melody track of B, by name or number.")
@click.option(
    "--fit", type=click.Choice(["loop", "pad"]), help="Repeat the shorter piece (default), or rest."
)
@click.option(
    "--pace",
    type=click.Choice(["even", "linear"]),
    help="Change as much at every step (default), or equal steps in the latent.",
)
@temperature_option
@tempo_option
@key_option
@music_options
def interpolate(
    a: str | None,
    b: str | None,
    n: int,
    seed_a: int | None,
    seed_b: int | None,
    track_a: str | None,
    track_b: str | None,
    key: str | None,
    out: str,
    model: str | None,
    seed: int | None,
    force: bool,
    png: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Go from A to B in N steps: two melodies, drum loops or trios, or two seeds.

    The first and the last are A and B as you wrote them. A folder as -o gets N files; a name that
    ends in .mid, or -, gets all of them one after the other on one timeline. Models that cannot
    read music go from what one seed makes to what another makes.

    \b
    Examples:
      musegen interpolate a.mid b.mid -n 8 -o morph
      musegen interpolate a.mid b.mid -o morph.mid --png
      musegen interpolate band.mid tune.mid --track-a "Lead Guitar" -o morph.mid
      musegen interpolate --model performance --seed-a 3 --seed-b 9 -o morph
    """
    talk = Talk(quiet, as_json)
    if key:
        _check_key(key)
    by_seed = seed_a is not None and seed_b is not None
    if by_seed == bool(a and b):
        raise click.UsageError("give two music files A and B, or --seed-a and --seed-b")
    if a == b == "-":
        raise click.UsageError("standard input can be A or B, not both")
    names = [f"interpolation-{i:02d}" for i in range(1, n + 1)]
    outputs = Outputs.plan(out, names, png=png, force=force)
    options |= {"steps": n, "key": key}
    music: list[Any] = []
    more: dict[str, Any] = {}
    if by_seed:
        seed, options["seeds"] = seed_a, (seed_a, seed_b)
    else:
        music = [read_score(str(a), talk), read_score(str(b), talk)]
        seed = seed_or_new(seed, talk)
        options["tracks"] = (track_a, track_b) if track_a or track_b else None
        more = {"seed": seed, "names": (label(str(a)), label(str(b)))}
    model = chosen(model, "interpolate", options, music)
    scores, _ = perform(model, "interpolate", music, options, talk=talk, **more)
    if is_file_name(out):
        from musegen.pipeline import timeline

        scores = [timeline(scores, [f"{i}/{n}" for i in range(1, n + 1)])]
    listing(talk, "interpolate", outputs.write(scores), seed=seed, model=model)


@click.command()
@click.argument("file")
@click.option("--track", help="Melody track, by name or number.")
@temperature_option
@music_options
def reconstruct(
    file: str,
    track: str | None,
    temperature: float | None,
    out: str,
    model: str | None,
    seed: int | None,
    force: bool,
    png: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Send music through the model's latent and back, and say how much of it came out as it was.

    \b
    Examples:
      musegen reconstruct tune.mid -o again.mid
    """
    talk = Talk(quiet, as_json)
    stem = "melody" if file == "-" else Path(file).stem
    outputs = Outputs.plan(out, [f"{stem}-reconstructed"], png=png, force=force)
    score = read_score(file, talk)
    seed = seed_or_new(seed, talk)
    options = {"temperature": temperature, "track": track}
    model = chosen(model, "reconstruct", options, [score])
    more: dict[str, Any] = {"seed": seed, "name": label(file)}
    made, figures = perform(model, "reconstruct", [score], options, talk=talk, **more)
    talk.say(f"{figures['accuracy']:.1%} of the steps came out as they were")
    listing(talk, "reconstruct", outputs.write(made), seed=seed, model=model, **figures)
