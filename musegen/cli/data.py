"""corpora, leakage: what there is to train on, and whether the split holds."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import click

from musegen.cli.common import Talk, talk_options


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
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1))
@talk_options
def leakage(folder: str, seed: int, as_json: bool, quiet: bool) -> None:
    """Measure how many held-out windows of a prepared FOLDER are in its training part, too.

    "exact" are the same notes, "any key" also counts transpositions. The last columns say how much
    it would be with songs held out at random.

    \b
    Examples:
      musegen leakage data/melody
    """
    from musegen.leakage import measure

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
