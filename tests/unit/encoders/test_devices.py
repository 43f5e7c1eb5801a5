"""What a machine has, what torch computes on, and that a GPU gives the CPU's hidden states where there is one."""

from __future__ import annotations

import contextlib
import platform

import numpy as np
import pytest
import torch
from snakemake.iocontainers import ResourceList

from speechsong.encoders import devices, forward, loading
from speechsong.errors import UserError

GPUS = [
    pytest.param(name, marks=pytest.mark.skipif(not there, reason=f"torch sees no GPU of this kind: {name}"))
    for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
]


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """Return a machine without a GPU: the folder of its programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(devices, "AMD_NODES", tmp_path / "nodes")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    return tmp_path


@pytest.mark.parametrize(
    ("says", "there"), [("GPU 0: Pretended (UUID: GPU-0)", True), ("No devices were found", False)]
)
def test_a_gpu_of_nvidia(bare, says, there):
    assert not devices.has_gpu()
    (bare / "nvidia-smi").write_text(f"#!/bin/sh\necho '{says}'\n")
    (bare / "nvidia-smi").chmod(0o755)
    assert devices.has_gpu() == there


@pytest.mark.parametrize(("numbers", "there"), [(["0"], False), (["0", "0"], False), (["0", "51140"], True)])
def test_a_gpu_of_amd(bare, numbers, there):
    for i, number in enumerate(numbers):
        (bare / f"nodes/{i}").mkdir(parents=True)
        (bare / f"nodes/{i}/gpu_id").write_text(f"{number}\n")
    assert devices.has_gpu() == there


@pytest.mark.parametrize(("machine", "there"), [("arm64", True), ("x86_64", False)])
def test_a_gpu_of_apple(bare, monkeypatch, machine, there):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert devices.has_gpu() == there


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(0, False, "cpu"), (2, False, "cuda"), (0, True, "mps"), (2, True, "cuda")]
)
def test_auto_is_what_torch_can_use(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert devices.pick("auto").type == chosen
    assert devices.pick("cpu").type == "cpu"
    for device, there in (("cuda", cuda > 0), ("cuda:1", cuda > 1), ("cuda:2", cuda > 2), ("mps", mps)):
        if there:
            assert str(devices.pick(device)) == device
        else:
            with pytest.raises(UserError, match=f"config key `device`: {device}, but torch sees"):
                devices.pick(device)


@pytest.mark.parametrize("able", [True, False])
def test_bfloat16_is_chosen_where_the_processor_has_it(monkeypatch, caplog, able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "avx512_bf16": able})
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able)
    for device in map(torch.device, ("cpu", "cuda:0")):
        assert devices.precision(device, "auto") == ("bfloat16" if able else "float32")
        assert devices.precision(device, "float32") == "float32"
    assert not caplog.messages
    assert devices.precision(torch.device("cpu"), "bfloat16") == "bfloat16"
    assert [("`float32` or `auto`" in message) for message in caplog.messages] == [True] * (not able)
    assert devices.precision(torch.device("mps"), "auto") == "float32"


def test_sums_in_float64_are_formed_where_there_is_float64():
    assert devices.exact(torch.device("mps")).type == "cpu"
    assert devices.exact(torch.device("cuda:1")) == torch.device("cuda:1")


@pytest.mark.parametrize(
    ("asked", "warned"), [({"gpu": 0}, False), ({"gpu": 1}, True), ({"gpu": 0, "gres": "gpu:1"}, True)]
)
def test_a_job_that_asked_for_a_gpu_and_has_none_says_so(caplog, asked, warned):
    with caplog.at_level("INFO", logger="speechsong"):
        devices.report(torch.device("cpu"), "float32", ResourceList(fromdict=asked))
    assert caplog.messages[0] == "computing on cpu in float32"
    assert [r.levelname == "WARNING" and "`device: cpu`" in r.message for r in caplog.records[1:]] == [True] * warned


@pytest.mark.parametrize("device", GPUS)
@pytest.mark.parametrize("family", ["hubert", "whisper"])
def test_hidden_states_are_those_of_the_cpu(folders, family, device):
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    states = {}
    for where in ("cpu", device):
        encoder = loading.load(folders[family], name="x", layers=3, window_seconds=2, device=where)
        with torch.inference_mode():
            front = [forward.front(encoder, window) for window in forward.prepare(encoder, samples)]
            states[where] = [state.cpu() for state in forward.blocks(encoder, front)]
    for here, there in zip(states["cpu"], states[device], strict=True):
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-3 * float(here.abs().max()))
