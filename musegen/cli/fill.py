"""accompany, inpaint: the verbs that fill in around music of yours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from musegen.cli.common import (
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


def _fill(
    verb: str,
    ending: str,
    file: str,
    n: int,
    out: str,
    model: str,
    seed: int | None,
    force: bool,
    png: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    talk = Talk(quiet, as_json)
    if n > 1 and is_file_name(out):
        raise click.UsageError("with -n above 1, -o must be a folder")
    stem = "music" if file == "-" else Path(file).stem
    names = [f"{stem}-{ending}-{i:02d}" for i in range(1, n + 1)]
    outputs = Outputs.plan(out, names, png=png, force=force)
    score = read_score(file, talk)
    seed = seed_or_new(seed, talk)
    more: dict[str, Any] = {"name": label(file), "say": talk.say}
    more |= {"talk": talk, "outputs": outputs}
    scores = perform(model, verb, score, n, seed=seed, **more, **options)
    listing(talk, verb, outputs.write(scores), seed=seed, model=model)


@click.command()
@click.argument("file")
@click.option("-n", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--given", help="What yours is in the band: drums, bass, guitar, piano or strings.")
@click.option("--track", help="Which track of FILE, by name or number.")
@click.option("--chords", help='Chords to play, as "C Am F G".')
@temperature_option
@more_options
@music_options
def accompany(**options: Any) -> None:
    """Play along with FILE, which stays note for note as it is.

    \b
    Examples:
      musegen accompany melody.mid --model MODEL -n 4 -o with-piano --png
      musegen accompany riff.mid --model MODEL --given guitar -o band.mid
    """
    _fill("accompany", "accompanied", **options)


@click.command()
@click.argument("file")
@click.option("-n", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--bars", help="Only these bars, as 5-6.")
@click.option("--pitch", help="Only these pitches, as C3-C5.")
@click.option("--part", help="Only this part of what the model plays.")
@click.option("--track", help="Which track of FILE, by name or number.")
@click.option("--chords", help='Chords to play, as "C Am F G".')
@more_options
@music_options
def inpaint(**options: Any) -> None:
    """Write some bars or pitches of FILE anew; all else stays note for note as it is.

    \b
    Examples:
      musegen inpaint song.mid --model MODEL --bars 5-6 -n 4 -o ideas --png
    """
    _fill("inpaint", "inpainted", **options)
