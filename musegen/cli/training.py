"""train, presets: from prepared data to a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from musegen.cli.common import Talk, talk_options
from musegen.cli.data import contents, expect, fixed_seed


@click.command()
@click.argument("name", required=False)
@talk_options
def presets(name: str | None, as_json: bool, quiet: bool) -> None:
    """List the presets, or print every field of one with its meaning.

    \b
    Examples:
      musegen presets
      musegen presets melody_2bar_small
    """
    import textwrap

    from musegen import presets as table
    from musegen.config import describe, to_dict

    talk = Talk(quiet, as_json)
    if not name:
        abouts = {key: make().about for key, make in table.PRESETS.items()}
        talk.result("presets", {"presets": abouts}, [f"{k}: {v}" for k, v in abouts.items()])
        return
    wanted = table.preset(name)
    fields = describe(wanted)
    lines = [f"{name}: {wanted.about}", "change a field with: --set FIELD=VALUE"]
    for path, value, meaning in fields[1:]:  # the first says what it is about
        text = f"{path} = {json.dumps(value)}"
        lines += [
            text,
            *textwrap.wrap(meaning, 92, initial_indent="    ", subsequent_indent="    "),
        ]
    meanings = {path: meaning for path, _, meaning in fields}
    data = {"name": name, "preset": to_dict(wanted), "meanings": meanings}
    talk.result("presets", data, lines)


@click.command()
@click.argument("preset")
@click.option("--data", required=True, type=click.Path(), help="Prepared folder, or MIDI files.")
@click.option("-o", "--out", required=True, type=click.Path(), help="Folder of the run.")
@click.option("--set", "assignments", multiple=True, help="KEY=VALUE, e.g. training.steps=500")
@fixed_seed("Of weights, order and noise.")
@click.option(
    "--every",
    default=500,
    show_default=True,
    type=click.IntRange(1),
    help="Steps between checkpoints.",
)
@click.option("--init", help="Model whose weights are the start (a shipped one, or a path).")
@click.option("--device", type=click.Choice(["cpu", "cuda", "mps"]), help="The best by default.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option("--tensorboard", is_flag=True, help="Write event files too (extra [tensorboard]).")
@talk_options
def train(
    preset: str,
    data: str,
    out: str,
    assignments: tuple[str, ...],
    seed: int,
    every: int,
    init: str | None,
    device: str | None,
    threads: int | None,
    tensorboard: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train PRESET (see musegen presets) on prepared data or on a folder of MIDI files.

    Stopped with Ctrl-C or killed, the same command goes on from the last checkpoint. The run's
    folder holds config.json, log.jsonl, checkpoint.pt, samples/ and, at the end, bundle/.

    \b
    Examples:
      musegen train melody_2bar_small --data data/melody --out runs/first
      musegen train melody_2bar_small --data my-midi --out runs/mine --init melody-2bar \\
          --set training.steps=1000 --set training.lr=0.0005
      torchrun --nproc-per-node 8 -m musegen train melody_2bar_big --data data/melody --out runs/big
    """
    from musegen import presets

    presets.known(preset)
    expect(data, init)
    from musegen import dataset, distributed, pretrained, runs
    from musegen import train as loop
    from musegen.cards import training_info
    from musegen.config import ConfigError, override
    from musegen.models import family
    from musegen.optimisation import set_up_cpu
    from musegen.pipeline import PIPELINES

    try:
        wanted = override(presets.preset(preset), assignments)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    presets.check(wanted)
    begin = pretrained.load(init) if init else None
    set_up_cpu(threads)
    with distributed.processes(device) as device_here:
        first = distributed.rank() == 0
        talk = Talk(quiet or not first, as_json)
        folder = _prepared(data, Path(out), wanted.representation, talk)
        writer = runs.tensorboard(Path(out)) if tensorboard and first else None
        kind = wanted.representation
        known, held = (dataset.load(folder, part, kind) for part in ("train", "valid"))
        with talk.bar(wanted.training.steps, "training") as bar:
            model = loop.train(
                wanted,
                known,
                held,
                out,
                seed=seed,
                device=device_here,
                every=every,
                init=begin,
                report=_Reporter(talk, bar, writer),
                watch=_sampler(Path(out), wanted, held),
            )
        if writer:
            writer.close()
        if not first:
            return
    pipeline = PIPELINES[family(wanted.model)]
    verbs = pipeline.can(wanted.model)
    info = training_info(Path(folder), Path(out), preset, verbs)
    first_verb = verbs[0] if verbs[0] == "generate" else f"{verbs[0]} FILE"
    if needed := sorted(pipeline.needs(vars(wanted.model))):
        info["use"] = first_verb = " ".join([first_verb, *(f"--{name} FILE" for name in needed)])
    bundle = pretrained.save(Path(out) / "bundle", model, wanted.representation, info, force=True)
    talk.result(
        "train",
        {"bundle": str(bundle), "info": info},
        [str(bundle), f"make music with it: musegen {first_verb} --model {bundle}"],
    )


def _prepared(data: str, out: Path, representation: Any, talk: Talk) -> str:
    """The prepared folder: `data` itself, or what is made of it inside the run's folder."""
    from musegen import dataset, distributed
    from musegen.prepare import prepare as run_prepare

    if dataset.is_prepared(data):
        return data
    prepared = out / "data"
    if dataset.is_prepared(prepared) and (out / "checkpoint.pt").exists():
        talk.say(f"going on with {prepared}")
    elif distributed.rank() == 0:
        talk.say(f"preparing {data}")
        settings = dataset.settings_for(representation)
        manifest = run_prepare([data], prepared, settings, force=True)
        talk.say("\n".join(contents(prepared, manifest)))
    distributed.wait()
    return str(prepared)


class _Reporter:
    """Losses on the bar, held-out figures on lines of their own."""

    def __init__(self, talk: Talk, bar: Any, writer: Any = None) -> None:
        self.talk, self.bar, self.writer = talk, bar, writer

    def __call__(self, progress: Any) -> None:
        self.bar.n = progress.step
        self.bar.set_postfix({k: f"{v:.3g}" for k, v in progress.losses.items()}, refresh=False)
        self.bar.update(0)
        if self.writer:
            named = {"train": progress.losses, "held out": progress.held_out}
            for kind, figures in named.items():
                for key, value in figures.items():
                    self.writer.add_scalar(f"{kind}/{key}", value, progress.step)
        if progress.held_out:
            figures = "  ".join(f"{k} {v:.4g}" for k, v in progress.held_out.items())
            text = f"step {progress.step}: held out {figures}"
            if self.bar.disable:
                self.talk.say(text)
            else:
                self.bar.write(text, file=self.bar.fp)


def _sampler(out: Path, preset: Any, held_out: Any) -> Any:
    """Draws eight pieces of fixed noise into samples/ now and then, and says how music is; models
    of rhythms play those of the first held-out windows.
    """
    rhythms = getattr(preset.model, "condition", "") == "rhythm"

    def draw(model: Any, step: int) -> dict[str, float]:
        import numpy as np
        import torch

        from musegen import plot
        from musegen.evaluate import watched
        from musegen.midi import write_atomic
        from musegen.optimisation import noise

        generator = noise(0, 0)
        told = {}
        if rhythms:
            heard = held_out.encode(np.arange(8) % len(held_out))[..., :2]
            told["given"] = torch.from_numpy(heard).to(next(model.parameters()).device)
        x = model.decode(model.prior(8, generator), generator, **told).cpu().numpy()
        scores = [preset.representation.decode(row) for row in x]
        picture = plot.grid(scores, [f"{i + 1}" for i in range(len(scores))])
        name = out / "samples" / f"step{step:06d}"
        write_atomic(name.with_suffix(".png"), picture, force=True)
        joined = scores[0]
        for score in scores[1:]:
            joined = joined.concat(score)
        joined.write(name.with_suffix(".mid"), force=True)
        return watched(model, preset.representation)

    return draw
