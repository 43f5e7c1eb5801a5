"""Devices: whether a machine has a GPU, and what torch computes on. Torch is imported only where it is needed."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechsong.errors import UserError
from speechsong.logs import log

if TYPE_CHECKING:
    import torch

# where the driver of AMD's GPUs (ROCm) lists processors: a CPU has gpu_id 0
AMD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")


def has_gpu() -> bool:
    """Tell whether this machine has a GPU of NVIDIA, AMD or Apple that torch can use, without asking torch."""
    return _nvidia() or _amd() or (platform.system(), platform.machine()) == ("Darwin", "arm64")


def _nvidia() -> bool:
    # it may be installed without a GPU, as in a container, so it is run
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    listed = subprocess.run([program, "-L"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return any(line.startswith("GPU ") for line in listed.stdout.splitlines())


def _amd() -> bool:
    try:
        return any(path.read_text().strip() != "0" for path in AMD_NODES.glob("*/gpu_id"))
    except OSError:  # this user may not use it
        return False


def pick(device: str) -> torch.device:
    """Choose what torch computes on.

    Parameters
    ----------
    device
        The config key `device`: auto, cpu, mps, cuda, cuda:1 and so on. AMD's GPUs are "cuda" to torch, too.

    Returns
    -------
    torch.device
        For "auto" a GPU if torch sees one, else the CPU.

    Raises
    ------
    UserError
        If torch sees no such GPU.
    """
    import torch

    seen = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = next((name for name, there in seen.items() if there), "cpu")
    if not seen.get(device.split(":")[0], True):
        raise UserError(f"config key `device`: {device}, but torch sees no such GPU; set `device: auto` or `cpu`")
    chosen = torch.device(device)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise UserError(f"config key `device`: {device}, but torch sees only {torch.cuda.device_count()}; lower it")
    return chosen


def precision(device: torch.device, wanted: str) -> str:
    """Choose what an encoder computes in.

    Parameters
    ----------
    device
        From `pick`.
    wanted
        The config key `precision`: float32, bfloat16 or auto.

    Returns
    -------
    str
        "float32" or "bfloat16". For "auto" bfloat16 where the processor has instructions for it.
    """
    fast = _has_bfloat16(device)
    if wanted == "bfloat16" and not fast:
        log.warning(
            "warning: `precision: bfloat16`, but this processor only imitates it, which takes longer; set `float32` or "
            "`auto`"
        )
    return ("bfloat16" if fast else "float32") if wanted == "auto" else wanted


def _has_bfloat16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return device.type == "cpu" and any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Compute what is inside in a precision from `precision`: with bfloat16, products alone."""
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def exact(device: torch.device) -> torch.device:
    """Return where sums in float64 are formed: on the device, or on the CPU for Apple's GPUs, which have none."""
    import torch

    return torch.device("cpu") if device.type == "mps" else device


def report(device: torch.device, precision: str, resources: Any) -> None:
    """Log what a job computes on; warn if it asked for a GPU (its resources `gpu` or `gres`) and got none."""
    log.info("computing on %s in %s", device, precision)
    if device.type == "cuda" and precision == "float32" and _has_bfloat16(device):
        log.info("this GPU is faster with `precision: auto`; docs/encoders.md says what that changes")
    asked = resources.gpu or "gpu" in resources.get("gres", "")
    if asked and device.type == "cpu":
        log.warning(
            "warning: the job asked for a GPU, but torch sees none, so it computes on the CPU; install a torch for "
            "your GPU, or set `device: cpu` to ask for none"
        )
