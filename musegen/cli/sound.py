"""render, play: music to hear."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from musegen.cli.common import (
    Number,
    Talk,
    chosen,
    models_kept,
    perform,
    read_score,
    seed_or_new,
    talk_options,
)
from musegen.errors import MusegenError


@click.command()
@click.argument("file")
@click.option(
    "-o", "--out", help="A name in .wav, or - for standard output; beside FILE if silent."
)
@click.option("--font", help="A soundfont (.sf2, .sf3) for FluidSynth.")
@click.option(
    "--engine", type=click.Choice(["fluidsynth", "synth"]), help="Which one, if not free."
)
@click.option(
    "--tail", default=1.0, show_default=True, type=Number(0, 60), help="Seconds to ring on."
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@talk_options
def render(
    file: str,
    out: str | None,
    font: str | None,
    engine: str | None,
    tail: float,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Turn FILE into sound: a WAV file as long as its bars, and a tail.

    FluidSynth does it where it and a soundfont are installed, else a small synthesiser of musegen.

    \b
    Examples:
      musegen render tune.mid -o tune.wav
      musegen render song.mid --font FluidR3_GM.sf2 --force
    """
    from musegen.midi import write_atomic
    from musegen.sound import render as room

    talk = Talk(quiet, as_json)
    target = out or ("music.wav" if file == "-" else str(Path(file).with_suffix(".wav")))
    if target == "-" and as_json:
        raise click.UsageError("--json does not go with -o -; give -o a file")
    if target != "-" and Path(target).suffix.lower() != ".wav":
        raise click.UsageError(f"{target}: only WAV is written; give a name ending in .wav")
    if target != "-" and Path(target).exists() and not force:
        raise MusegenError(f"{target}: exists already; choose another -o or use --force")
    data = room.render(read_score(file, talk), font, engine or "", tail, talk.say)
    if target == "-":
        sys.stdout.buffer.write(data)
    else:
        path = str(write_atomic(target, data, force=force))
        talk.result("render", {"wav": path}, [path])


@click.command()
@click.argument("file", required=False)
@click.option("--port", help="A MIDI port, by part of its name; listed when there is none.")
@click.option("--virtual", is_flag=True, help="Make a port of that name that others connect to.")
@click.option("--loop", is_flag=True, help="FILE again and again; without FILE ever new music.")
@click.option("--model", help="What makes the new music; melody-2bar if silent.")
@click.option("--bars", type=click.IntRange(1, 256), help="Length of each new piece.")
@click.option("--tempo", type=Number(10, 400), help="Of the new music.")
@click.option("--temperature", type=Number(0, 5), help="Higher is wilder.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Of the first new piece.")
@talk_options
def play(
    file: str | None,
    port: str | None,
    virtual: bool,
    loop: bool,
    model: str | None,
    seed: int | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Play FILE to a MIDI port, or without FILE ever new music until Ctrl-C.

    A DAW that listens to the port hears musegen as an instrument that plays by itself.

    \b
    Examples:
      musegen play
      musegen play tune.mid --port "IAC Driver"
      musegen play --loop --port musegen --virtual --tempo 100
    """
    from itertools import repeat

    from musegen.sound import play as live

    talk = Talk(quiet, as_json)
    if port is None:
        names = live.ports()
        talk.say("name a port with --port, or make one with --virtual --port NAME")
        return talk.result("play", {"ports": names}, names or ["no ports"])
    if not file and not loop:
        raise click.UsageError("give a FILE, or --loop for ever new music")
    pieces: Any
    if file:
        score = read_score(file, talk)
        pieces = repeat(score) if loop else [score]
    else:
        first = seed_or_new(seed, talk)
        name = chosen(model, "generate", options)

        def piece(seed: int) -> Any:
            return perform(name, "generate", [], options, talk=talk, seed=seed)[0][0]

        pieces = live.endless(piece, first)
    send, close = live.open_port(port, virtual)
    try:
        with models_kept():
            live.play(pieces, send, talk.say)
    finally:
        close()
