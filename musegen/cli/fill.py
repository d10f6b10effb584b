"""accompany, inpaint: the verbs that fill in around music of yours."""

from __future__ import annotations

from typing import Any

import click

from musegen.cli.common import more_options, music_options, temperature_option
from musegen.cli.edit import of_one


@click.command()
@click.argument("file")
@click.option("-n", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option(
    "--given", help="What yours is in the band: drums, bass ...; what it looks like if silent."
)
@click.option("--track", help="Which track of FILE, by name or number.")
@click.option("--chords", help='Chords to play, as "C Am F G".')
@temperature_option
@more_options
@music_options
def accompany(**options: Any) -> None:
    """Play along with FILE, which stays note for note as it is.

    \b
    Examples:
      musegen accompany melody.mid -n 4 -o with-piano --png
      musegen accompany riff.mid --given guitar -o band.mid
    """
    of_one("accompany", "accompanied", **options)


@click.command()
@click.argument("file")
@click.option("-n", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--bars", help="Only these bars, as 5-6.")
@click.option("--pitch", help="Only these pitches, as C3-C5.")
@click.option("--part", help="melody or piano, or a voice; what FILE has if silent.")
@click.option("--track", help="Which track of FILE, by name or number.")
@click.option("--chords", help='Chords to play, as "C Am F G".')
@more_options
@music_options
def inpaint(**options: Any) -> None:
    """Write some bars or pitches of FILE anew; all else stays note for note as it is.

    \b
    Examples:
      musegen inpaint song.mid --bars 5-6 -n 4 -o ideas --png
    """
    of_one("inpaint", "inpainted", **options)
