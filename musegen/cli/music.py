"""generate, interpolate, reconstruct: the verbs that make music."""

from __future__ import annotations

from pathlib import Path

import click

from musegen.cli.common import (
    Outputs,
    Talk,
    is_file_name,
    key_option,
    listing,
    music_options,
    read_score,
    seed_or_new,
    temperature_option,
    tempo_option,
)


@click.command()
@click.option("-n", default=1, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@click.option("--bars", type=click.IntRange(1, 256), help="Length of each; 2 by default.")
@click.option("--style", help="A kind of music the model knows (see musegen models).")
@temperature_option(1.0)
@tempo_option
@key_option
@music_options
def generate(
    n: int,
    bars: int | None,
    style: str | None,
    temperature: float,
    tempo: float | None,
    key: str | None,
    out: str,
    model: str,
    seed: int | None,
    force: bool,
    png: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make new melodies.

    \b
    Examples:
      musegen generate -n 8 -o out --png
      musegen generate --bars 8 --key Am --tempo 96 --seed 7 -o tune.mid
      musegen generate -o - | other-program
    """
    talk = Talk(quiet, as_json)
    if n > 1 and is_file_name(out):
        raise click.UsageError("with -n above 1, -o must be a folder")
    if key:
        _check_key(key)
    names = [f"melody-{i:02d}" for i in range(1, n + 1)]
    outputs = Outputs.plan(out, names, png=png, force=force)
    seed = seed_or_new(seed, talk)
    from musegen import pipeline

    scores = pipeline.load(model).generate(
        n, seed=seed, bars=bars, temperature=temperature, style=style, tempo=tempo or 120.0, key=key
    )
    listing(talk, "generate", outputs.write(scores), seed=seed, model=model)


def _check_key(key: str) -> None:
    from musegen.melody import parse_key

    try:
        parse_key(key)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("-n", default=8, show_default=True, type=click.IntRange(2, 1000), help="Melodies.")
@click.option("--bars", type=click.IntRange(1, 256), help="Length; the longer one's by default.")
@click.option("--track-a", help="Melody track of A, by name or number.")
@click.option("--track-b", help="Melody track of B, by name or number.")
@click.option(
    "--fit",
    type=click.Choice(["loop", "pad"]),
    default="loop",
    show_default=True,
    help="Repeat the shorter melody, or follow it by rests.",
)
@click.option(
    "--pace",
    type=click.Choice(["even", "linear"]),
    default="even",
    show_default=True,
    help="Change as much at every step, or equal steps in the latent.",
)
@temperature_option(0.0)
@tempo_option
@key_option
@music_options
def interpolate(
    a: str,
    b: str,
    n: int,
    bars: int | None,
    track_a: str | None,
    track_b: str | None,
    fit: str,
    pace: str,
    temperature: float,
    tempo: float | None,
    key: str | None,
    out: str,
    model: str,
    seed: int | None,
    force: bool,
    png: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Go from melody A to melody B in N steps.

    The first and the last are A and B as you wrote them. A folder as -o gets N files; a name that
    ends in .mid, or -, gets all of them one after the other on one timeline.

    \b
    Examples:
      musegen interpolate a.mid b.mid -n 8 -o morph
      musegen interpolate a.mid b.mid -o morph.mid --png
      musegen interpolate band.mid tune.mid --track-a "Lead Guitar" -o morph.mid
    """
    talk = Talk(quiet, as_json)
    if key:
        _check_key(key)
    if a == b == "-":
        raise click.UsageError("standard input can be A or B, not both")
    names = [f"interpolation-{i:02d}" for i in range(1, n + 1)]
    outputs = Outputs.plan(out, names, png=png, force=force)
    first, last = read_score(a, talk), read_score(b, talk)
    seed = seed_or_new(seed, talk)
    from musegen import pipeline

    scores = pipeline.load(model).interpolate(
        first,
        last,
        steps=n,
        seed=seed,
        temperature=temperature,
        tracks=(track_a, track_b),
        names=(_label(a), _label(b)),
        fit=fit,
        pace=pace,
        tempo=tempo,
        bars=bars,
        key=key,
        say=talk.say,
    )
    if is_file_name(out):
        from musegen.pipeline import timeline

        scores = [timeline(scores, [f"{i}/{n}" for i in range(1, n + 1)])]
    listing(talk, "interpolate", outputs.write(scores), seed=seed, model=model)


def _label(path: str) -> str:
    return "standard input" if path == "-" else Path(path).name


@click.command()
@click.argument("file")
@click.option("--track", help="Melody track, by name or number.")
@temperature_option(0.0)
@music_options
def reconstruct(
    file: str,
    track: str | None,
    temperature: float,
    out: str,
    model: str,
    seed: int | None,
    force: bool,
    png: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Send a melody through the model's latent and back, and say how much of it came out as it was.

    \b
    Examples:
      musegen reconstruct tune.mid -o again.mid
    """
    talk = Talk(quiet, as_json)
    stem = "melody" if file == "-" else Path(file).stem
    outputs = Outputs.plan(out, [f"{stem}-reconstructed"], png=png, force=force)
    score = read_score(file, talk)
    seed = seed_or_new(seed, talk)
    from musegen import pipeline

    made, figures = pipeline.load(model).reconstruct(
        score, seed=seed, temperature=temperature, track=track, name=_label(file), say=talk.say
    )
    talk.say(f"{figures['accuracy']:.1%} of the steps came out as they were")
    listing(talk, "reconstruct", outputs.write([made]), seed=seed, model=model, **figures)
