"""prepare, corpora, leakage: music into training data, and whether its split holds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import click

from musegen.cli.common import F, Talk, talk_options
from musegen.errors import MusegenError, unwritable


def fixed_seed(of: str) -> Callable[[F], F]:
    """The option --seed of what is measured or trained: 0 unless another is asked for."""
    seeds = click.IntRange(0, 2**31 - 1)
    return click.option("--seed", default=0, show_default=True, type=seeds, help=of)


def contents(folder: object, manifest: Mapping[str, Any]) -> list[str]:
    """What is in a prepared folder, in lines."""
    songs, windows, inputs = manifest["songs"], manifest["windows"], manifest["inputs"]
    lines = [f"{folder}: {', '.join(f'{n} {what}' for what, n in inputs.items())}"]
    lines += [f"  {part}: {windows[part]} windows of {songs[part]} songs" for part in windows]
    return lines + [f"  set aside: {n} x {reason}" for reason, n in manifest["rejects"].items()]


def expect(data: str, *models: str | None) -> None:
    """Refuse music and models that are not there, before anything heavy is loaded.

    Raises:
        InputError: no prepared folder, and no source that can be prepared.
        ModelError: no such model.
    """
    from musegen import corpora, dataset, pretrained

    for name in models:
        if name is not None:
            pretrained.read_config(pretrained.locate(name))
    if not dataset.is_prepared(data):
        next(corpora.entries(data))


def room_for(folder: str, name: str, force: bool) -> None:
    """Refuse a folder that cannot be written, or that has the file already, before any work.

    Raises:
        MusegenError: why.
    """
    if (Path(folder) / name).exists() and not force:
        raise MusegenError(f"{Path(folder) / name}: exists already; use another -o, or --force")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise unwritable(folder, error) from None


def _share(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int] | None:
    """Both numbers of a share such as 3/10."""
    i, _, n = value.partition("/")
    if value and not (i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise click.BadParameter(f"{value!r} is no share; write for example 3/10")
    return (int(i), int(n)) if value else None


@click.command()
@click.argument("sources", nargs=-1, required=True)
@click.option("-o", "--out", required=True, type=click.Path(), help="Folder to write.")
@click.option(
    "--kind", default="melody", show_default=True, help="melody, drums, groove, trio, band"
)
@click.option("--tracks", default="", help="Track set of a band: lpd5, lpd17, piano, pop909 ...")
@click.option(
    "--bars", default=2, show_default=True, type=click.IntRange(1, 64), help="Bars of a window."
)
@click.option(
    "--hop", default=1, show_default=True, type=click.IntRange(1, 64), help="Bars to the next one."
)
@click.option(
    "--min-tracks", type=click.IntRange(0), help="Tracks that must play in half of the bars."
)
@click.option(
    "--rests", default=0, type=click.IntRange(0), help="Bars of a window that may be silent."
)
@click.option("--chords", is_flag=True, help="Keep the chord symbols of songs that have them.")
@click.option(
    "--like",
    multiple=True,
    type=click.Path(),
    help="Prepared folder whose songs stay in the parts they are in there; may be repeated.",
)
@click.option("--workers", type=click.IntRange(0), help="Processes.  [default: one a core]")
@click.option("--cluster", default="", metavar="ADDRESS", help="Read on this Dask cluster instead.")
@click.option(
    "--shard", default="", metavar="I/N", callback=_share, help="Make this share of the shards."
)
@click.option("--force", is_flag=True, help="Replace a finished folder.")
@talk_options
def prepare(
    sources: tuple[str, ...],
    out: str,
    like: tuple[str, ...],
    workers: int | None,
    cluster: str,
    shard: tuple[int, int] | None,
    force: bool,
    as_json: bool,
    quiet: bool,
    **cut: Any,
) -> None:
    """Turn music files into training data.

    SOURCES are folders, zips or tars of music files, or corpora that musegen knows (see musegen
    corpora). Files that cannot be used are set aside with their reason in rejects.jsonl. Killed at
    any moment, the same command goes on; on a finished folder it looks for damage and repairs it.

    \b
    Examples:
      musegen prepare my-midi-folder -o data/mine
      musegen prepare POP909-Dataset/POP909 fiddle -o data/melody
      musegen prepare POP909-Dataset/POP909 fiddle --bars 16 --like data/melody -o data/melody16
      musegen prepare bands -o data/band --kind band --tracks lpd5 --bars 4
    """
    from musegen.prepare import prepare as run
    from musegen.prepare.windows import Settings

    talk = Talk(quiet, as_json)
    with talk.bar(0, "reading") as bar:
        bar.unit = " files"

        def report(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        manifest = run(
            sources,
            out,
            Settings(**cut),
            like=like,
            workers=workers,
            cluster=cluster,
            shard=shard,
            force=force,
            report=None if bar.disable else report,
            say=talk.say,
        )
    if shard:
        done = f"{out}: {manifest['shards']} shards, share {shard[0]} of {shard[1]}"
        lines = [done, "when all shares are made, the same command without --shard finishes"]
        talk.result("prepare", {"out": out, **manifest}, lines)
    else:
        talk.result("prepare", {"out": out, "manifest": manifest}, contents(out, manifest))


@click.command()
@click.argument("name", required=False)
@talk_options
def corpora(name: str | None, as_json: bool, quiet: bool) -> None:
    """List the corpora that musegen knows: where they come from and what their licences permit.

    With a NAME, all about one. Those marked "at hand" are sources as they are; others are
    recognised by their layout when their folder, zip or tar is given.

    \b
    Examples:
      musegen corpora
      musegen corpora maestro
    """
    from musegen.config import nearest
    from musegen.corpora import CORPORA, at_hand

    talk = Talk(quiet, as_json)
    if name is not None and name not in CORPORA:
        raise click.UsageError(f"no corpus {name!r}{nearest(name, CORPORA)}")
    rows = []
    for corpus in CORPORA.values():
        shown = (f.name for f in fields(corpus) if f.name not in ("reader", "layouts", "version"))
        rows.append({key: getattr(corpus, key) for key in shown} | {"at_hand": at_hand(corpus)})
    if name is not None:
        (row,) = (r for r in rows if r["name"] == name)
        lines = [f"{key:10} {value}" for key, value in _told(row).items()]
        talk.result("corpora", {"corpus": row}, lines)
        return
    columns = ("name", "licence", "weights", "about")
    talk.result(
        "corpora", {"corpora": rows}, _table([columns, *(_cells(r, columns) for r in rows)])
    )


def _told(row: dict[str, Any]) -> dict[str, str]:
    """What is worth a line, in words."""
    words = {True: "yes, by its name", False: "no: give the path of what you have downloaded"}
    told = {key: value for key, value in row.items() if key not in ("samples", "at_hand")}
    return {key: value for key, value in told.items() if value} | {"at hand": words[row["at_hand"]]}


def _cells(row: dict[str, Any], columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(row[c]).split(":")[0] for c in columns)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with columns as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


@click.command()
@click.argument("folder")
@fixed_seed("Of the random splits.")
@talk_options
def leakage(folder: str, seed: int, as_json: bool, quiet: bool) -> None:
    """Measure how many held-out windows of a prepared FOLDER are in its training part, too.

    "exact" are the same notes, "any key" also counts transpositions. The last columns say how much
    it would be with songs held out at random.

    \b
    Examples:
      musegen leakage data/melody
    """
    from musegen.prepare.leakage import measure

    talk = Talk(quiet, as_json)
    leaks = measure(folder, seed=seed)
    head = ("corpus", "songs held out", "windows", "exact", "any key", "random", "random, any key")
    rows: list[tuple[str, ...]] = [head]
    for leak in leaks:
        shares = (leak.exact, leak.any_key, leak.random_exact, leak.random_any_key)
        counts = (leak.corpus, f"{leak.songs} of {leak.of_songs}", str(leak.windows))
        rows.append((*counts, *(f"{share:.2%}" for share in shares)))
    talk.result(
        "leakage", {"folder": folder, "leaks": [asdict(leak) for leak in leaks]}, _table(rows)
    )
