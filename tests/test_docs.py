"""The commands of the README and the documentation: their verbs, options, models, presets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from musegen import pretrained
from musegen.cli.main import cli
from musegen.presets import PRESETS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[list[str]]:
    """The words behind `musegen` of each command in blocks of shell."""
    for kind, block in BLOCK.findall(text):
        shell = block if kind in ("", "sh", "console") else ""
        for line in shell.replace("\\\n", " ").splitlines():
            if re.match(r"(\$ )?musegen [a-z]+( |$)|torchrun ", line):
                words = shlex.split(re.split(r"[|&>]", line)[0], comments=True)
                yield words[words.index("musegen") + 1 :]


FOUND = [(page, words) for page in PAGES for words in commands(page.read_text())]


@pytest.mark.parametrize(
    ("page", "words"), FOUND, ids=[f"{p.stem}: {' '.join(w)[:60]}" for p, w in FOUND]
)
def test_commands_of_the_documentation_are_understood(
    page: Path, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parsed, not run; files that are named need not be there, models and presets must."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.jsonl").touch()
    if words[0].isupper() or words[-1] == "--help":
        return
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, words[0]
    with command.make_context(words[0], words[1:], parent=click.Context(cli)) as context:
        asked = context.params
    model = asked.get("model") or asked.get("init")
    assert model is None or "/" in model or model in pretrained.names()
    assert "preset" not in asked or asked["preset"] in PRESETS


def test_the_commands_are_found() -> None:
    assert len(FOUND) > 100
    assert {page.stem for page, _ in FOUND} >= {"README", "index", "groove", "training", "fl"}
    shell = (
        "```sh\nmusegen vary a.mid -n 8 \\\n  -o x  # near\n$ musegen daw | cat\nls musegen\n```\n"
    )
    expected = [["vary", "a.mid", "-n", "8", "-o", "x"], ["daw"]]
    assert list(commands(shell + "```python\nmusegen\n```\n")) == expected
