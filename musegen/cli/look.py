"""evaluate, models, info, plot, doctor: the verbs that look."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import click

from musegen.cli.common import Number, Talk, read_score, talk_options
from musegen.errors import InputError


@click.command()
@click.argument("model", default="melody-2bar")
@click.option("--data", required=True, type=click.Path(), help="Prepared folder, or MIDI files.")
@click.option("--part", default="test", show_default=True, type=click.Choice(["test", "valid"]))
@click.option("-n", default=2048, show_default=True, type=click.IntRange(16), help="Samples a set.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1))
@click.option("--temperature", default=1.0, show_default=True, type=Number(0, 5))
@click.option("--spread", type=click.FloatRange(0, 2), help="Of the prior; 0.5 by default.")
@click.option("-o", "--out", type=click.Path(), help="Folder for densities.png and table.json.")
@click.option("--card", "on_card", is_flag=True, help="Write the table into the bundle's card.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@talk_options
def evaluate(
    model: str,
    data: str,
    part: str,
    n: int,
    seed: int,
    temperature: float,
    spread: float | None,
    out: str | None,
    on_card: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure MODEL on held-out songs: reconstruction, and how like them its samples are.

    \b
    Examples:
      musegen evaluate melody-2bar --data data/melody -o report
    """
    import json
    import tempfile

    from musegen import dataset, metrics, plot, pretrained
    from musegen.evaluate import evaluate as run
    from musegen.evaluate import scores, table
    from musegen.midi import write_atomic
    from musegen.prepare import prepare
    from musegen.windows import Settings

    talk = Talk(quiet, as_json)
    bundle = pretrained.load(model)
    with tempfile.TemporaryDirectory() as folder:
        if not dataset.is_prepared(data):
            talk.say(f"preparing {data}: every song counts as held out")
            settings = Settings(bars=bundle.representation.bars)
            prepare([data], Path(folder) / "data", settings, everything=part)
            held_out = dataset.load(Path(folder) / "data", part)
            training = None
        else:
            held_out, training = dataset.load(data, part), dataset.load(data, "train")
        result = run(
            bundle,
            held_out,
            training,
            n=n,
            seed=seed,
            temperature=temperature,
            spread=spread,
            report=talk.say,
        )
        numbers = {
            "reconstruction": result.reconstruction,
            "samples": result.samples,
            "overlap": result.overlap,
            "seed": seed,
            "temperature": temperature,
            "spread": spread,
            "part": part,
        }
        lines = table(result)
        if on_card:
            told = (
                f"musegen evaluate --part {part} -n {n} --seed {seed} --temperature {temperature:g}"
                + ("" if spread is None else f" --spread {spread:g}")
            )
            told_by = {"evaluation": [f"$ {told}", *lines], "scores": scores(result)}
            pretrained.describe(model, {**bundle.info, **told_by})
        if out:
            text = json.dumps(numbers, indent=1) + "\n"
            edges = {name: metrics.bins(name) for name in metrics.FEATURES}
            titles = {name: f"{name}  {result.overlap['all']['model'][name]:.2f}" for name in edges}
            picture = plot.densities(result.values["all"], edges, titles)
            where = Path(out)
            paths = [
                write_atomic(where / "table.json", text.encode(), force=force),
                write_atomic(where / "densities.png", picture, force=force),
            ]
            lines += [str(p) for p in paths]
    talk.result("evaluate", numbers, lines)


@click.command()
@talk_options
def models(as_json: bool, quiet: bool) -> None:
    """List the shipped models: verbs, size, licence, scores."""
    from musegen import pretrained

    talk = Talk(quiet, as_json)
    rows, lines = [], []
    for name in pretrained.names():
        folder = pretrained.locate(name)
        config = pretrained.read_config(folder)
        size = (folder / "model.safetensors").stat().st_size
        row = {"name": name, "family": config["family"], "bytes": size, **config["info"]}
        row["styles"] = config["model"]["styles"]
        rows.append(row)
        lines.append(f"{name}  {config['family']}, {size / 1e6:.1f} MB, weights MIT")
        lines.append(f"  verbs: {', '.join(row['verbs'])}")
        lines.append(f"  styles: {', '.join(row['styles'])}")
        for corpus, source in row["corpora"].items():
            lines.append(f"  trained on {corpus}: {source} ({row['data_licences'][corpus]})")
        for key, value in row.get("scores", {}).items():
            lines.append(f"  {key}: {value:g}")
    talk.result("models", {"models": rows}, lines)


@click.command()
@click.argument("file")
@talk_options
def info(file: str, as_json: bool, quiet: bool) -> None:
    """Say what is in a MIDI file: tracks, tempo, metre, the likeliest melody, the recipe."""
    from musegen.segment import pick_melody

    talk = Talk(quiet, as_json)
    score = read_score(file)
    bars = len(score.bar_lines()) - 1
    tracks = [
        {"number": i + 1, "name": t.name, "program": t.program, "drums": t.is_drum, "notes": len(t)}
        for i, t in enumerate(score.tracks)
    ]
    try:
        melody: int | None = pick_melody(score).index + 1
    except ValueError:
        melody = None
    data: dict[str, Any] = {
        "file": file,
        "ppq": score.ppq,
        "bars": bars,
        "seconds": round(score.seconds, 3),
        "tempos": score.tempos,
        "metres": score.metres,
        "keys": score.keys,
        "markers": score.markers,
        "tracks": tracks,
        "melody_track": melody,
        "recipe": dict(score.recipe),
    }
    lines = [
        f"{file}: {bars} bars, {score.seconds:.1f} s, {score.ppq} ticks a quarter",
        "tempo " + ", ".join(f"{q:g}" for _, q in score.tempos[:8]),
        "metre " + ", ".join(f"{n}/{d}" for _, n, d in score.metres[:8]),
    ]
    for t in tracks:
        what = "drums" if t["drums"] else f"program {t['program']}"
        mark = "  <- melody" if t["number"] == melody else ""
        lines.append(
            f"  {t['number']:3} {t['name'] or '(no name)':24} {what:12} {t['notes']:6} notes{mark}"
        )
    if score.recipe:
        lines.append("made by musegen: " + ", ".join(f"{k}={v}" for k, v in score.recipe.items()))
    talk.result("info", data, lines)


@click.command()
@click.argument("file")
@click.option("-o", "--out", help="PNG to write, or -; beside the file by default.")
@click.option("--force", is_flag=True, help="Overwrite an existing picture.")
@talk_options
def plot(file: str, out: str | None, force: bool, as_json: bool, quiet: bool) -> None:
    """Draw a MIDI file as a piano roll.

    \b
    Examples:
      musegen plot tune.mid -o tune.png
    """
    from musegen import plot as drawing

    talk = Talk(quiet, as_json)
    if file == "-" and out is None:
        raise click.UsageError("from standard input, say where with -o PICTURE.png")
    score = read_score(file)
    if not score.tracks:
        raise InputError(file, "has no notes to draw")
    out = out or str(Path(file).with_suffix(".png"))
    if out == "-":
        sys.stdout.buffer.write(drawing.png(score, Path(file).stem))
        return
    path = drawing.pianoroll(score, out, title=Path(file).stem, force=force)
    talk.result("plot", {"file": file, "png": str(path)}, [str(path)])


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
