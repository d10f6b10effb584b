"""Who may import whom, held up by a walk over the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import musegen

ROOT = Path(musegen.__file__).parent
FILES = {
    ".".join(("musegen", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): p
    for p in sorted(ROOT.rglob("*.py"))
}

# A module imports only those before it.
ORDER = """
version lazy errors client names score formats formats.abc formats.assemble formats.archive
formats.marks formats.notation formats.musicxml formats.cells formats.toolkits formats.smf
formats.quick formats.chunks config midi
representations.events representations.tracks representations.rolls representations.pianoroll
representations.onsetroll representations.drums
representations.trio representations.groove representations.chords representations.tuples
representations interop segment attributes metrics metrics.rolls metrics.ngram melody summary
corpora.containers corpora.grid corpora.readers corpora.catalogue corpora
prepare.windows prepare.shards prepare.workers prepare.cluster prepare.split prepare.tables prepare
dataset prepare.leakage
schedules sizes runtime.parts runtime.musicvae runtime.crnngan runtime.groovae runtime
sampling samplers layers models.voice models.crnngan_events models.crnngan models.musicvae
models.patches models.musegan_critic models.musegan_bars models.musegan_keys models.musegan
models.unet models.lead models.diffusion models.latents models.groovae models
objectives objectives.variational objectives.players objectives.adversarial objectives.recurrent
objectives.diffusion objectives.groove
presets.base presets.musicvae presets.crnngan presets.musegan presets.diffusion
presets.groovae presets.latents presets
cards pretrained fitting distributed runs optimisation train
plot.lanes plot.figures plot.charts plot
pipeline.base pipeline.voices pipeline.canvas pipeline.painting pipeline.diffusion
pipeline.roles pipeline.choosing pipeline.musegan
pipeline.taps pipeline.drumify pipeline.latent pipeline.musicvae pipeline.rhythm
pipeline.crnngan pipeline.groove pipeline.songs
pipeline
evaluate.report evaluate.attributes evaluate.copies evaluate.voices evaluate.diffusion
evaluate.features evaluate.interpolation evaluate.harmony evaluate.drumify
evaluate.musicvae evaluate.crnngan evaluate.groovae
evaluate.musegan evaluate.musegan_fit evaluate.latents evaluate.curves evaluate
server server.tasks server.payload server.worker server.jobs server.page server.app
daw.fl daw.dawproject daw.reaper daw.muse daw.ableton daw
sound sound.synth sound.render sound.play sound.show watch
cli cli.common cli.music cli.edit cli.fill cli.batch cli.data cli.training cli.look
cli.server cli.hosts cli.sound cli.main __main__
""".split()  # noqa: SIM905
CLI = ["musegen", "cli"]
# Conveniences of Score: loaded when called, and never by importing score.
EXCEPTIONS = {("score", "midi"), ("score", "plot"), ("score", "sound.show")}

ROOMS = ("common", "music", "edit", "fill", "training", "data", "look")
ROOMS += ("server", "hosts", "sound", "batch", "main")
# Packages that only these modules may import, at any depth.
ONLY = {
    "symusic": {"formats.quick"},
    "mido": {"sound.play"},
    "matplotlib": {"plot", "plot.figures", "plot.charts"},
    "music21": {"formats.abc", "corpora"},
    "muspy": {"interop"},
    "pypianoroll": {"interop"},
    "pretty_midi": {"interop"},
    "safetensors": {"pretrained"},
    "distributed": {"prepare.cluster"},
    "starlette": {"server.app"},
    "uvicorn": {"server.app"},
    "rtmidi": {"sound.play"},
    "click": {f"cli.{room}" for room in ROOMS},
}
NO_TORCH = ["score", "formats", "midi", "representations", "segment", "melody", "metrics"]
NO_TORCH += ["names", "attributes", "summary", "interop", "corpora"]
NO_TORCH += ["prepare", "dataset", "plot", "cards", "config", "cli", "sizes", "runtime", "server"]
NO_TORCH += ["client", "daw", "sound", "watch"]


class Import:
    """An import: its target as a dotted name, and whether it runs when the module is imported."""

    def __init__(self, target: str, at_import: bool, typing_only: bool, line: int) -> None:
        self.target, self.at_import, self.typing_only = target, at_import, typing_only
        self.line = line


def imports(path: Path) -> Iterator[Import]:
    def walk(node: ast.AST, at_import: bool, typing_only: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for name in child.names:
                    yield Import(name.name, at_import, typing_only, child.lineno)
            elif isinstance(child, ast.ImportFrom):
                assert not child.level, f"{path}:{child.lineno}: relative import"
                for name in child.names:
                    full = f"{child.module}.{name.name}"
                    target = full if full in FILES else str(child.module)
                    yield Import(target, at_import, typing_only, child.lineno)
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            checking = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            yield from walk(child, at_import and not inside, typing_only or checking)

    yield from walk(ast.parse(path.read_text()), True, False)


IMPORTS = {name: list(imports(path)) for name, path in FILES.items()}


def short(name: str) -> str:
    return name.removeprefix("musegen").removeprefix(".")


def test_the_order_names_every_module() -> None:
    assert {short(n) for n in FILES} - {""} <= set(ORDER)


@pytest.mark.parametrize("name", [n for n in FILES if n != "musegen"])
def test_modules_import_only_what_comes_before(name: str) -> None:
    for i in IMPORTS[name]:
        if i.typing_only or i.target.split(".")[0] != "musegen":
            continue
        edge = (short(name), short(i.target))
        if edge in EXCEPTIONS:
            assert not i.at_import, f"{name}:{i.line}: {i.target} must be loaded when it is used"
            continue
        assert edge[1] in ORDER, f"{name}:{i.line}: {i.target} has no place in the order"
        before = ORDER.index(edge[1]) < ORDER.index(edge[0])
        assert before, f"{name}:{i.line}: {name} must not import {i.target}"


@pytest.mark.parametrize("package", ONLY)
def test_heavy_packages_have_one_importer(package: str) -> None:
    users = {
        short(name)
        for name, found in IMPORTS.items()
        for i in found
        if i.target.split(".")[0] == package and not i.typing_only
    }
    assert users <= ONLY[package]


@pytest.mark.parametrize("name", FILES)
def test_music_side_needs_no_torch(name: str) -> None:
    parts = short(name).split(".")
    if parts[0] in NO_TORCH:
        found = [i for i in IMPORTS[name] if i.target.split(".")[0] == "torch" and i.at_import]
        assert not found, f"{name}:{found[0].line}: imports torch"


@pytest.mark.parametrize("name", [n for n in FILES if short(n).startswith("models")])
def test_models_know_nothing_of_music_files_or_the_command_line(name: str) -> None:
    allowed = ("musegen.models", "musegen.sampling", "musegen.layers")
    allowed += ("musegen.samplers", "musegen.schedules", "musegen.sizes")
    ours = [i.target for i in IMPORTS[name] if i.target.startswith("musegen")]
    assert [t for t in ours if not t.startswith(allowed)] == []
    others = {i.target.split(".")[0] for i in IMPORTS[name]} - {"musegen"}
    assert others <= {
        "__future__",
        "dataclasses",
        "math",
        "typing",
        "torch",
        "einops",
        "collections",
        "contextlib",
        "functools",
    }


def test_only_the_command_line_imports_the_command_line() -> None:
    users = {n for n, found in IMPORTS.items() for i in found if i.target.split(".")[:2] == CLI}
    assert {short(n).split(".")[0] for n in users} <= {"cli", "__main__"}


@pytest.mark.parametrize("name", FILES)
def test_files_stay_short(name: str) -> None:
    assert len(FILES[name].read_text().splitlines()) < 400


@pytest.mark.parametrize("name", FILES)
def test_only_the_command_line_prints(name: str) -> None:
    calls = [
        n.lineno
        for n in ast.walk(ast.parse(FILES[name].read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print"
    ]
    assert not calls


def test_the_walk_sees_what_it_must(tmp_path: Path) -> None:
    source = (
        "import torch\nif TYPE_CHECKING:\n    import mido\ndef f():\n    from musegen import midi\n"
    )
    (tmp_path / "m.py").write_text(source)
    found = {(i.target, i.at_import, i.typing_only) for i in imports(tmp_path / "m.py")}
    expected = {("torch", True, False), ("mido", True, True), ("musegen.midi", False, False)}
    assert found == expected
