"""daw, export, ableton, watch: into other programs and out of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from musegen.cli.common import Number, Talk, read_score, stems, talk_options
from musegen.errors import MusegenError


@click.command()
@click.argument("what", type=click.Choice(["list", "install"]), default="list")
@click.argument("host", required=False)
@click.option("--folder", type=click.Path(), help="Instead of where the program looks.")
@talk_options
def daw(what: str, host: str | None, folder: str | None, as_json: bool, quiet: bool) -> None:
    """List the programs that musegen has scripts for, or install those of one.

    \b
    Examples:
      musegen daw
      musegen daw install reaper
    """
    from musegen.config import nearest
    from musegen.daw import HOSTS, install

    talk = Talk(quiet, as_json)
    if what == "list":
        rows = {name: {"title": h.title, "does": h.words} for name, h in HOSTS.items()}
        lines = [f"{name:11} {h.title}: {h.words}" for name, h in HOSTS.items()]
        return talk.result("daw", {"hosts": rows}, lines)
    if host is None:
        raise click.UsageError(f"say for which program; there are {', '.join(HOSTS)}")
    if host not in HOSTS:
        raise click.UsageError(f"no host {host!r}{nearest(str(host), HOSTS)}")
    where, written = install(host, folder)
    talk.say(f"next, {HOSTS[host].then}")
    files = [str(path) for path in written]
    talk.result("daw", {"folder": str(where), "files": files}, files or [str(where)])


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("-o", "--out", required=True, help="A name in .dawproject or .pyscript, or a folder.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@talk_options
def export(files: tuple[str, ...], out: str, force: bool, as_json: bool, quiet: bool) -> None:
    """Write music for a certain program.

    A name in .dawproject is a project for Bitwig, Studio One or Cubase; one in .pyscript a script
    for FL Studio's piano roll that offers all FILES; a folder gets a MIDI file for each track.

    \b
    Examples:
      musegen export song.mid -o song.dawproject
      musegen export out/*.mid -o ideas.pyscript
      musegen export song.mid -o stems/
    """
    from musegen.midi import write_atomic

    talk = Talk(quiet, as_json)
    if out == "-":
        raise click.UsageError("export writes files; give -o a name or a folder")
    scores = [read_score(file, talk) for file in files]
    names = [Path(file).stem if file != "-" else "music" for file in files]
    ending = Path(out).suffix.lower()
    if ending == ".pyscript":
        from musegen.daw import fl

        script = fl.to_script(scores, names, Path(out).stem)
        written = [write_atomic(out, script.encode(), force=force)]
    elif ending == ".dawproject":
        from musegen.daw import dawproject

        if len(scores) > 1:
            raise click.UsageError("a .dawproject holds one file; call it once for each")
        data = dawproject.to_bytes(scores[0], names[0])
        written = [write_atomic(out, data, force=force)]
    elif ending:
        raise click.UsageError(f"{out}: neither .dawproject nor .pyscript nor a folder")
    else:
        written = []
        for score, name in zip(scores, names, strict=True):
            for stem, part in stems(score):
                written.append(part.write(Path(out) / f"{name}-{stem}.mid", force=force))
    paths = [str(path) for path in written]
    talk.result("export", {"files": paths}, paths)


def _place(text: str) -> tuple[int, int]:
    track, _, slot = text.partition(".")
    if not (track.isdecimal() and slot.isdecimal() and int(track) and int(slot)):
        raise click.BadParameter(f"{text!r} is no clip slot; write track.slot, for example 1.3")
    return int(track) - 1, int(slot) - 1


@click.command()
@click.argument("verb")
@click.option("--clip", "clips", multiple=True, help="What goes in, as track.slot from 1.1 on.")
@click.option("--to", required=True, help="From which slot on results go into empty slots.")
@click.option("-n", type=click.IntRange(1, 64), help="How many.")
@click.option("--steps", type=click.IntRange(2, 64), help="Pieces of an interpolation.")
@click.option("--bars", type=click.IntRange(1, 256), help="Length.")
@click.option("--amount", type=Number(0, 1), help="Of a variation.")
@click.option("--temperature", type=Number(0, 5), help="Higher is wilder.")
@click.option("--model", help="Name or folder.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Same seed, same notes.")
@talk_options
def ableton(
    verb: str, clips: tuple[str, ...], to: str, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Make music of clips in Ableton Live and put it into empty slots, through AbletonOSC.

    \b
    Examples:
      musegen ableton generate --to 1.1 -n 4 --bars 4
      musegen ableton vary --clip 1.1 --to 1.2 -n 4
      musegen ableton interpolate --clip 1.1 --clip 1.2 --to 2.1 --steps 6
    """
    from musegen.client import ClientError
    from musegen.config import nearest
    from musegen.daw.ableton import Live, run
    from musegen.server.tasks import MUSIC, VERBS

    talk = Talk(quiet, as_json)
    if verb not in VERBS:
        raise click.UsageError(f"no verb {verb!r}{nearest(verb, VERBS)}")
    if len(clips) != MUSIC.get(verb, 1):
        raise click.UsageError(f"{verb} takes {MUSIC.get(verb, 1)} x --clip, {len(clips)} came")
    places = [_place(clip) for clip in clips]
    live = Live()
    try:
        result, slots = run(verb, live, places, _place(to), **options)
    except ClientError as error:
        raise MusegenError(str(error)) from None
    finally:
        live.close()
    talk.say(f"seed {result['seed']}")
    track = _place(to)[0] + 1
    filled = [f"{track}.{slot + 1}" for slot in slots]
    talk.result("ableton", {"clips": filled, "seed": result["seed"]}, filled)


@click.command()
@click.argument("folder", type=click.Path())
@click.option("--verb", default="vary", show_default=True, help="vary, continue, reconstruct ...")
@click.option("-n", type=click.IntRange(1, 64), help="How many of each.")
@click.option("--amount", type=Number(0, 1), help="Of a variation.")
@click.option("--bars", type=click.IntRange(1, 256), help="Bars to add.")
@click.option("--temperature", type=Number(0, 5), help="Higher is wilder.")
@click.option("--model", help="Name or folder.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Same seed, same notes.")
@click.option("--old", is_flag=True, help="Also take the files that are there already.")
@talk_options
def watch(
    folder: str,
    verb: str,
    model: str | None,
    seed: int | None,
    old: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Make music of each MIDI file that is put into FOLDER, until Ctrl-C.

    Results go into FOLDER/musegen. Export into FOLDER from any program, and drag results back.

    \b
    Examples:
      musegen watch ~/Music/inbox
      musegen watch inbox --verb continue --model performance -n 2
    """
    from musegen import pretrained
    from musegen import watch as room
    from musegen.cli.common import Outputs, chosen, label, perform, seed_or_new
    from musegen.server.tasks import MUSIC, VERBS

    talk = Talk(quiet, as_json)
    if verb not in VERBS or verb in MUSIC:
        raise click.UsageError(f"{verb!r} does not make music of one file; try vary")

    def make(path: Path, results: Path) -> None:
        this = seed_or_new(seed, talk)
        score = read_score(str(path), talk)
        name = chosen(model, verb, options, [score])
        more: dict[str, Any] = {"seed": this, "name": label(str(path))}
        scores, _ = perform(name, verb, [score], options, talk=talk, **more)
        names = [f"{path.stem}-{verb}-{i:02d}" for i in range(1, len(scores) + 1)]
        written = Outputs.plan(str(results), names, png=False, force=True).write(scores)
        files = [row["midi"] for row in written]
        talk.result("watch", {"file": str(path), "files": files, "seed": this}, files)

    if model:
        pretrained.locate(model)  # a wrong name is told now, not when the first file comes
    seen = room.Watch(Path(folder), old)
    talk.say(f"watching {folder}; Ctrl-C ends it")
    room.watch(seen, make, talk.say)
