"""evaluate, models, info, plot, doctor: the verbs that look."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musegen.cli.common import Number, Talk, pedal_option, read_score, talk_options
from musegen.cli.data import contents, expect, fixed_seed, room_for
from musegen.errors import InputError

if TYPE_CHECKING:
    from musegen.score import Score


@click.command()
@click.argument("model", default="melody-2bar")
@click.option("--data", required=True, type=click.Path(), help="Prepared folder, or MIDI files.")
@click.option(
    "--part",
    default="test",
    show_default=True,
    type=click.Choice(["test", "valid"]),
    help="Which held-out songs.",
)
@click.option("-n", type=click.IntRange(16), help="Samples a set: 2048; pairs, latents: 256.")
@fixed_seed("Of the samples.")
@click.option("--temperature", type=Number(0, 5), help="Of the samples; the model's own if silent.")
@click.option("--spread", type=click.FloatRange(0, 2), help="Of the prior; 0.5 by default.")
@click.option("--interpolation", is_flag=True, help="Measure the way between pairs of windows.")
@click.option(
    "--pace", type=click.Choice(["linear", "even"]), help="Of the way: even as the verb's."
)
@click.option("--attributes", is_flag=True, help="Learn and test what vary --attribute adds.")
@click.option("--drumify", "songs", help="Songs of --data: measure drums for melody and bass.")
@click.option("--against", help="Another model whose interpolations are measured beside.")
@click.option("--run", "logs", multiple=True, type=click.Path(), help="Folder of a run to draw.")
@click.option("-o", "--out", type=click.Path(), help="Folder for table.json and pictures.")
@click.option("--fit", is_flag=True, help="Fit what a bundle keeps of its training music first.")
@click.option("--card", "on_card", is_flag=True, help="Write the table into the bundle's card.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@talk_options
def evaluate(
    model: str,
    data: str,
    part: str,
    n: int | None,
    seed: int,
    temperature: float | None,
    spread: float | None,
    interpolation: bool,
    pace: str | None,
    attributes: bool,
    songs: str | None,
    against: str | None,
    logs: tuple[str, ...],
    out: str | None,
    fit: bool,
    on_card: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure MODEL on held-out songs: reconstruction, and how like them its samples are.

    \b
    Examples:
      musegen evaluate melody-2bar --data data/melody -o report
      musegen evaluate melody-2bar --data data/melody --interpolation -o report
      musegen evaluate melody-2bar --data data/melody --attributes --card
      musegen evaluate drums-2bar --data data/drums --drumify bands
      musegen evaluate performance --data data/played --run runs/a --run runs/b -o report
      musegen evaluate runs/band/bundle --data data/band --fit --temperature 0
    """
    if against and not interpolation:
        raise click.UsageError("--against goes with --interpolation")
    if logs and not out:
        raise click.UsageError("--run draws curves into the folder of --out; name one")
    if interpolation and (on_card or spread is not None):
        raise click.UsageError("--interpolation goes with neither --card nor --spread")
    if pace and not interpolation:
        raise click.UsageError("--pace goes with --interpolation")
    if attributes and (interpolation or temperature is not None or spread is not None):
        raise click.UsageError("--attributes goes with -n, --seed, --card and --out only")
    if songs and (interpolation or attributes or n or spread is not None or on_card):
        raise click.UsageError("--drumify goes with --part, --seed, --temperature and --out only")
    expect(data, model, against)
    if out:
        room_for(out, "table.json", force)
    import json
    import tempfile

    from musegen import dataset, pretrained
    from musegen.evaluate import attributes as moved
    from musegen.evaluate import curves, fitted, measure
    from musegen.evaluate import drumify as answered
    from musegen.evaluate import interpolation as between
    from musegen.midi import write_atomic
    from musegen.prepare import prepare

    talk = Talk(quiet, as_json)
    bundle = pretrained.load(model)
    wanted = bundle.representation
    given = {"temperature": temperature, "spread": spread, "pace": pace}
    usual = 256 if interpolation or attributes else 2048
    options: dict[str, Any] = ({} if songs else {"n": n or usual}) | {"seed": seed}
    options |= {name: value for name, value in given.items() if value is not None}
    with tempfile.TemporaryDirectory() as folder:
        training, where = None, data
        if not dataset.is_prepared(data):
            talk.say(f"preparing {data}: every song counts as held out")
            where = str(Path(folder) / "data")
            prepare([data], where, dataset.settings_for(wanted), everything=part)
        else:
            training = dataset.load(data, "train", wanted)
        if fit:
            kept = fitted(bundle, training, report=talk.say)
            pretrained.describe(model, {**bundle.info, **kept})
            bundle = pretrained.load(model)
        parts = (bundle, dataset.load(where, part, wanted), training)
        if songs:
            both = (answered.songs_of(songs, data, kept) for kept in (part, "train"))
            found = answered.measure(bundle, *both, report=talk.say, **options)
        elif attributes:
            found = moved.measure(bundle, training, report=talk.say, **options)
        elif interpolation:
            other = pretrained.load(against) if against else None
            found = between.measure(*parts, against=other, report=talk.say, **options)
        else:
            found = measure(*parts, report=talk.say, **options)
    pictures = dict(found.pictures)
    if logs:
        pictures["curves.png"] = curves.picture([Path(log) for log in logs], found.levels)
    numbers = {**found.numbers, **options, "part": part}
    lines = list(found.lines)
    if on_card:
        said = " ".join(f"{'-' if k == 'n' else '--'}{k} {v:g}" for k, v in options.items())
        kind = "--attributes" if attributes else f"--part {part}"
        told = [f"$ musegen evaluate {kind} {said}", *lines]
        told_by: dict[str, Any] = {"evaluation": told, "scores": dict(found.scores)}
        if attributes:
            told_by = {"attribute test": told, **found.learned}
        pretrained.describe(model, {**bundle.info, **told_by})
    if out:
        text = json.dumps(numbers, indent=1) + "\n"
        files = {"table.json": text.encode(), **pictures}
        lines += [str(write_atomic(Path(out) / k, v, force=force)) for k, v in files.items()]
    talk.result("evaluate", numbers, lines)


@click.command()
@talk_options
def models(as_json: bool, quiet: bool) -> None:
    """List the shipped models: verbs, size, licence, scores.

    In the table x says that a model has a verb, and "default" that the verb takes it unless --model
    names another.
    """
    from musegen import pipeline, pretrained
    from musegen.summary import aligned

    talk = Talk(quiet, as_json)
    rows = []
    for name in pretrained.names():
        folder = pretrained.locate(name)
        config = pretrained.read_config(folder)
        size = pretrained.size(name)
        row = {"name": name, "family": config["family"], "bytes": size, "licence": "MIT"}
        rows.append(row | config["info"] | {"styles": config["model"].get("styles", [])})
    known = [verb.rstrip("_") for verb in pipeline.VERBS]
    verbs = [verb for verb in known if any(verb in row["verbs"] for row in rows)]
    defaults = {verb: pipeline.default(verb) for verb in verbs}
    table = [["", *(row["name"] for row in rows)], ["family", *(row["family"] for row in rows)]]
    table.append(["MB", *(f"{row['bytes'] / 1e6:.1f}" for row in rows)])
    table.append(["weights", *(row["licence"] for row in rows)])
    for verb in verbs:
        marks = (["-", "x"][verb in row["verbs"]] for row in rows)
        names = (row["name"] == defaults[verb] for row in rows)
        table.append([verb, *("default" if d else m for m, d in zip(marks, names, strict=True))])
    lines = aligned(table)
    for row in rows:
        lines += ["", f"{row['name']}: {row.get('about', row['preset'])}"]
        lines += [f"  styles: {', '.join(row['styles'])}"] if row["styles"] else []
        for corpus, source in row["corpora"].items():
            lines.append(f"  trained on {corpus}: {source} ({row['data_licences'][corpus]})")
        lines += [f"  {key}: {value:g}" for key, value in row.get("scores", {}).items()]
    talk.result("models", {"models": rows, "defaults": defaults}, lines)


@click.command()
@click.argument("file")
@click.option("--metrics", is_flag=True, help="Also measure its bars: EB, UPC, QN, PP, DP, TD.")
@pedal_option
@talk_options
def info(file: str, metrics: bool, pedal: bool, as_json: bool, quiet: bool) -> None:
    """Say what is in a music file, in a prepared folder or in a bundle.

    Of music: its tracks, tempo, metre, key and chords, the likeliest melody, the recipe, and what
    had to be mended to read it. --metrics: see docs/metrics.md.

    \b
    Examples:
      musegen info song.mid --metrics
      musegen info data/melody
      musegen info melody-2bar
    """
    talk = Talk(quiet, as_json)
    if Path(file).is_dir() or (not Path(file).exists() and file in _shipped()):
        _info_of_folder(talk, file)
        return
    from musegen import summary
    from musegen.metrics import rolls

    score = read_score(file, pedal=pedal)
    told = summary.summarise(score)
    lines = summary.as_lines(file, score, told)
    if metrics:
        if not any(map(len, score.tracks)):
            raise InputError(file, "has no notes to measure")
        try:
            bars = rolls.of_score(score)
        except ValueError as error:
            raise InputError(file, f"cannot be measured: {error}") from error
        told["metrics"] = bars.as_dict()
        lines += ["", *bars.table()]
    talk.result("info", {"file": file, **told}, lines)


def _shipped() -> list[str]:
    from musegen import pretrained

    return pretrained.names()


def _info_of_folder(talk: Talk, name: str) -> None:
    """A prepared folder's manifest, or a bundle's card."""
    import json

    from musegen import dataset, pretrained
    from musegen.summary import aligned

    if not dataset.is_prepared(name):
        if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
            raise InputError(name, "is neither a prepared folder nor a bundle; give one, or a file")
        folder = pretrained.locate(name)
        config = pretrained.read_config(folder)
        card = folder / "README.md"
        lines = card.read_text().splitlines() if card.is_file() else [f"{name}: has no card"]
        talk.result("info", {"folder": str(folder), "bundle": config}, lines)
        return
    try:
        manifest = json.loads((Path(name) / "manifest.json").read_text())
        rows = [["part", "songs", "windows", *manifest["corpora"]["train"]]]
        for part, windows in manifest["windows"].items():
            counts = [manifest["corpora"][part].get(c, 0) for c in rows[0][3:]]
            rows.append([part, *map(str, (manifest["songs"][part], windows, *counts))])
        kind = f"{manifest.get('kind', 'melody')} windows of {manifest['bars']} bars"
        lines = [f"{name}: {kind}, {contents(name, manifest)[0].split(': ', 1)[1]}"]
        lines += ["", *aligned(rows, right=range(1, 9)), ""]
        for key, said in (("rejects", "set aside"), ("dropped_windows", "dropped windows")):
            told = sorted(manifest[key].items(), key=lambda item: -item[1])
            lines += [f"{said}: {n} x {reason}" for reason, n in told]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            Path(name) / "manifest.json", "is damaged; make the folder again with musegen prepare"
        ) from error
    talk.result("info", {"folder": name, "manifest": manifest}, lines)


def _bars(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int] | None:
    """First and last bar of a span such as 1-8, or of a bar such as 3."""
    first, dash, last = value.partition("-")
    last = last if dash else first
    if value and not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise click.BadParameter(f"{value!r} is no span of bars; write for example 1-8")
    return (int(first), int(last)) if value else None


@click.command()
@click.argument("file")
@click.option("-o", "--out", help="A .png or .svg, or - for PNG; a PNG beside the file by default.")
@click.option("--tracks", default="", help="Only these: numbers or parts of names, as 1,3,bass.")
@click.option("--bars", "span", default="", callback=_bars, help="Only these, as 1-8.")
@pedal_option
@click.option("--force", is_flag=True, help="Overwrite an existing picture.")
@talk_options
def plot(
    file: str,
    out: str | None,
    tracks: str,
    span: tuple[int, int] | None,
    pedal: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw a music file as a piano roll: a few parts over each other, bands a strip a track.

    \b
    Examples:
      musegen plot tune.mid -o tune.svg
      musegen plot song.mid --tracks drums,bass --bars 1-16
    """
    from dataclasses import replace

    from musegen import plot as drawing
    from musegen.plot.lanes import excerpt

    talk = Talk(quiet, as_json)
    if file == "-" and out is None:
        raise click.UsageError("from standard input, say where with -o PICTURE.png")
    if out == "-" and as_json:
        raise click.UsageError("--json does not go with -o -; give -o a file")
    score = read_score(file, talk, pedal=pedal)
    if not score.tracks:
        raise InputError(file, "has no notes to draw")
    if tracks:
        score = replace(score, tracks=tuple(score.tracks[i] for i in _chosen(score, tracks, file)))
    first = 1
    if span:
        lines = score.bar_lines()
        first, last = span
        if last > len(lines) - 1:
            raise InputError(file, f"has {len(lines) - 1} bars; give --bars within them")
        score = excerpt(score, int(lines[first - 1]), int(lines[last]))
    out = out or str(Path(file).with_suffix(".png"))
    if out == "-":
        sys.stdout.buffer.write(drawing.picture(score, Path(file).stem, first_bar=first))
        return
    path = drawing.pianoroll(score, out, title=Path(file).stem, force=force, first_bar=first)
    talk.result("plot", {"file": file, path.suffix[1:].lower(): str(path)}, [str(path)])


def _chosen(score: Score, choices: str, file: str) -> list[int]:
    """Tracks by number from 1 or part of a name or instrument, in the order of the file."""
    from musegen.names import instrument_name

    names = [f"{t.name} {instrument_name(t.program, t.is_drum)}".lower() for t in score.tracks]
    found: set[int] = set()
    for choice in choices.split(","):
        want = choice.strip().lower()
        some = [i for i, name in enumerate(names) if want and want in name]
        if want.isdecimal():
            some = [int(want) - 1] if 1 <= int(want) <= len(names) else []
        if not some:
            raise InputError(file, f"has no track {choice.strip()!r}; musegen info lists them")
        found |= set(some)
    return sorted(found)


@click.command()
@talk_options
def doctor(as_json: bool, quiet: bool) -> None:
    """Check the installation: versions, device, models; makes one melody to be sure."""
    from importlib import metadata

    import torch

    from musegen import midi, pipeline, pretrained
    from musegen.version import __version__

    talk = Talk(quiet, as_json)
    packages = ("torch", "numpy", "symusic", "mido", "safetensors", "pretty_midi", "muspy")
    versions: dict[str, str] = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "missing"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    score = pipeline.load().generate(1, seed=0)[0]
    size = len(midi.to_bytes(score))
    data = {
        "musegen": __version__,
        "python": platform.python_version(),
        "platform": sys.platform,
        "packages": versions,
        "device": device,
        "threads": torch.get_num_threads(),
        "models": pretrained.names(),
        "test_melody_notes": len(score.tracks[0]),
        "ok": "missing" not in versions.values() and size > 0,
    }
    lines = [f"musegen {__version__}, Python {data['python']} on {sys.platform}"]
    lines += [f"  {name} {version}" for name, version in versions.items()]
    lines.append(f"  device {device}, {data['threads']} threads")
    lines.append(f"  models {', '.join(pretrained.names())}")
    verdict = "all is well" if data["ok"] else "install what is missing"
    lines.append(f"  made a melody of {data['test_melody_notes']} notes: {verdict}")
    talk.result("doctor", data, lines)
