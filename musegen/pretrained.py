"""Bundles: a folder of config.json, model.safetensors and README.md (the card), no pickles.

Shipped bundles live in `musegen/bundles`. A bundle loads strictly: every tensor must be there with
its shape, and the weights must have the SHA-256 that the config names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musegen import runtime
from musegen.config import from_dict, nearest, to_dict
from musegen.errors import ModelError
from musegen.midi import write_atomic

if TYPE_CHECKING:
    from torch import nn

    from musegen.dataset import Windowed

SHIPPED = Path(__file__).parent / "bundles"
DEFAULT = "melody-2bar"
FORMAT = 1
FIELDS = {
    "format": int,
    "family": str,
    "model": dict,
    "representation": dict,
    "sha256": str,
    "info": dict,
}


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Attributes:
        name: the folder's name.
        model: the network, float32: in torch in evaluation mode, or in NumPy.
        representation: what its arrays mean.
        info: verbs, licence, scores as the config holds them.
        family: of networks, a key of `models.FAMILIES`.
    """

    name: str
    model: Any
    representation: Any
    info: Mapping[str, Any] = field(default_factory=dict)
    family: str = ""


def names() -> list[str]:
    """The shipped bundles."""
    return sorted(p.parent.name for p in SHIPPED.glob("*/config.json"))


def verbs(name: str | Path) -> list[str]:
    """What a bundle can do, without loading its weights."""
    told: list[str] = read_config(locate(name))["info"].get("verbs", [])
    return told


def size(name: str) -> int:
    """Bytes of a shipped model's weights."""
    return (SHIPPED / name / "model.safetensors").stat().st_size


def locate(name: str | Path) -> Path:
    """The folder of a bundle, by shipped name or by path.

    Raises:
        ModelError: there is none; names those that are shipped.
    """
    if str(name) in names():
        return SHIPPED / str(name)
    if not str(name):
        raise ModelError(f"the model has no name{nearest('', names())}")
    if (Path(name) / "config.json").is_file():
        return Path(name)
    if Path(name).is_dir():
        raise ModelError(f"{name}: not a bundle (no config.json); make one with: musegen train")
    raise ModelError(f"no model {str(name)!r}{nearest(str(name), names())}")


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a bundle.

    Raises:
        ModelError: it cannot be read or is of another format.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        if not isinstance(config, dict):
            raise ValueError("has no fields")
        for key, kind in FIELDS.items():
            if not isinstance(config.get(key), kind):
                raise ValueError(f"{key} is missing or not a {kind.__name__}")
        if config["format"] != FORMAT:
            raise ValueError(f"format {config['format']}, this version reads {FORMAT}")
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: broken bundle (config.json: {error}); get it again") from None
    return config


def load(name: str | Path = DEFAULT) -> Bundle:
    """Load a bundle by name or path, its network in torch.

    Raises:
        ModelError: no such bundle, or it is broken or was tampered with.
    """
    import safetensors.torch

    from musegen.models import FAMILIES

    def network(family: str, sizes: Any, data: bytes) -> nn.Module:
        # Not on the meta device: drawing weights there imports torch._dynamo, over a second.
        kind, sizes_of = FAMILIES[family]
        model: nn.Module = kind(from_dict(sizes_of, sizes))
        weights = safetensors.torch.load(data)
        held = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
        model.load_state_dict(held, strict=True, assign=True)
        return model.eval().requires_grad_(False)

    return _loaded(locate(name), FAMILIES, network)


def playable(name: str | Path = DEFAULT) -> Bundle:
    """Load a bundle to make music with: its network in NumPy where `runtime` has its family, so
    that nobody waits for torch, else in torch.

    Raises:
        ModelError: as `load`.
    """
    import safetensors.numpy

    folder = locate(name)
    if read_config(folder)["family"] not in runtime.NETWORKS:
        return load(name)

    def network(family: str, sizes: Any, data: bytes) -> Any:
        config = from_dict(runtime.NETWORKS[family].config, sizes)
        return runtime.build(config, safetensors.numpy.load(data))

    return _loaded(folder, runtime.NETWORKS, network)


def _loaded(
    folder: Path, families: Iterable[str], network: Callable[[str, Any, bytes], Any]
) -> Bundle:
    """A bundle whose network is made of its family, sizes and weights; everything is checked."""
    import safetensors

    config = read_config(folder)
    try:
        data = (folder / "model.safetensors").read_bytes()
        if hashlib.sha256(data).hexdigest() != config["sha256"]:
            raise ValueError("model.safetensors does not have the SHA-256 that config.json names")
        if config["family"] not in families:
            raise ValueError(f"family {config['family']!r}{nearest(config['family'], families)}")
        model = network(config["family"], config["model"], data)
        representation = _representation(config["representation"])
        for size in ("steps", "vocab"):
            mine, theirs = (getattr(one, size, None) for one in (representation, model.config))
            if None not in (mine, theirs) and mine != theirs:
                raise ValueError(f"{theirs} {size}, not {mine}")
    except (OSError, ValueError, IndexError, RuntimeError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{folder}: broken bundle ({reason}); get it again") from None
    return Bundle(folder.name, model, representation, config["info"], config["family"])


def _representation(data: dict[str, Any]) -> Windowed:
    """A representation from its fields and its class as "kind"."""
    from musegen.representations import REPRESENTATIONS

    kinds = {home.partition(":")[2]: key for key, home in REPRESENTATIONS.homes.items()}
    fields = dict(data)
    kind = fields.pop("kind", "")
    if kind not in kinds:
        raise ValueError(f"representation {kind!r}{nearest(kind, kinds)}")
    made: Any = from_dict(REPRESENTATIONS[kinds[kind]], fields)
    return made


def save(
    folder: str | Path,
    model: nn.Module,
    representation: Windowed,
    info: Mapping[str, Any],
    *,
    force: bool = False,
) -> Path:
    """Write a bundle with float16 weights; its card gets the licence and scores in words."""
    import safetensors.torch
    import torch

    from musegen.cards import card
    from musegen.models import family

    folder = Path(folder)
    weights = {
        k: (v.half() if v.is_floating_point() else v.to(torch.int32)).cpu().contiguous()
        for k, v in model.state_dict().items()
    }
    data = safetensors.torch.save(weights)
    config = {
        "format": FORMAT,
        "family": family(model.config),
        "model": to_dict(model.config),
        "representation": {"kind": type(representation).__name__, **to_dict(representation)},
        "sha256": hashlib.sha256(data).hexdigest(),
        "info": dict(info),
    }
    write_atomic(folder / "model.safetensors", data, force=force)
    write_atomic(
        folder / "README.md",
        card(config["family"], type(representation).__name__, info).encode(),
        force=force,
    )
    text = json.dumps(config, indent=1) + "\n"
    write_atomic(folder / "config.json", text.encode(), force=force)
    return folder


def describe(name: str | Path, info: Mapping[str, Any]) -> None:
    """Give a bundle other info, and a card that tells it."""
    from musegen.cards import card

    folder = locate(name)
    config = read_config(folder) | {"info": dict(info)}
    text = json.dumps(config, indent=1) + "\n"
    write_atomic(folder / "config.json", text.encode(), force=True)
    told = card(config["family"], config["representation"]["kind"], info)
    write_atomic(folder / "README.md", told.encode(), force=True)
