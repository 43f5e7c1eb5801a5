"""Extraction: clip means and speaker-block moments of every hidden state, in one pass of the encoder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from typing import NoReturn

import numpy as np
import torch
import transformers

from speechsong import __version__
from speechsong.corpora import audio
from speechsong.corpora.recordings import Recording
from speechsong.embeddings import moments
from speechsong.embeddings.store import Embeddings
from speechsong.encoders import devices, forward
from speechsong.encoders.loading import Encoder
from speechsong.errors import UserError
from speechsong.logs import log, progress

# seconds of audio, padding included, in one batch: enough to keep the cores busy, little enough for their caches
BATCH_SECONDS = 30.0
# seconds of audio that are read ahead and sorted by length, so that a batch holds clips of similar lengths
READ_AHEAD_SECONDS = 120.0
# threads that read, resample and normalise while the encoder computes
READERS = 2
# the number of a clip, and the samples of one of its windows
Window = tuple[int, np.ndarray]


def extract(encoder: Encoder, recordings: list[Recording], block_of: dict[str, int]) -> Embeddings:
    """Run recordings through an encoder and keep means and moments.

    Parameters
    ----------
    encoder
        It computes the hidden states.
    recordings
        n recordings.
    block_of
        The block, 0 to B - 1, of every speaker of the corpus.

    Returns
    -------
    Embeddings
        In the order of `recordings`.

    Raises
    ------
    UserError
        If a recording cannot be used, a hidden state is not finite, or the GPU's memory is too small for a single
        window or for the sums.
    """
    try:
        return _extract(encoder, recordings, block_of)
    except torch.OutOfMemoryError as error:
        # batches handle their own errors; this one is from the sums, or from one hidden state in float64
        raise UserError(
            f"encoder `{encoder.name}`: the GPU's memory does not hold the sums of its {encoder.layers + 1} layers; "
            "let nothing else use the GPU, or set `device: cpu`"
        ) from error


def _extract(encoder: Encoder, recordings: list[Recording], block_of: dict[str, int]) -> Embeddings:
    n, states, d = len(recordings), encoder.layers + 1, encoder.width
    n_blocks = max(block_of.values()) + 1
    result = Embeddings(
        [r.clip_id for r in recordings],
        np.zeros(n, dtype=np.int64),
        np.empty((states, n, d), dtype=np.float32),
        np.zeros(n_blocks, dtype=np.int64),
        np.zeros((states, n_blocks, d)),
        np.zeros((states, n_blocks, d * (d + 1) // 2), dtype=np.float32),
    )
    advance = progress(n, "clips")
    start, waited = time.perf_counter(), 0.0
    order = sorted((block_of[r.speaker], i) for i, r in enumerate(recordings))
    with closing(_read_ahead(encoder, recordings, order)) as groups:
        # one block at a time: its sums are the only matrices in memory
        for block, of_block in groupby(_clocked(groups), key=itemgetter(0)):
            sums = Sums(states, d, devices.exact(encoder.device))
            for _, windows, seconds in of_block:
                waited += seconds
                with torch.inference_mode():
                    _run(encoder, windows, sums, result)
                advance(len({i for i, _ in windows}))
            for state in range(states):
                merged = sums.moments(state)
                result.count[block] = merged.count
                result.mean[state, block] = merged.mean
                with np.errstate(over="ignore"):
                    result.scatter[state, block] = moments.pack(merged.scatter)
                if not np.isfinite(result.scatter[state, block]).all():
                    raise UserError(
                        f"encoder `{encoder.name}`: hidden state {state} is so large that its covariance is not finite "
                        "in float32; use another checkpoint"
                    )
    spent = time.perf_counter() - start
    log.info("the encoder waited for recordings in %.0f %% of %.1f s", 100 * waited / spent, spent)
    return result


def _clocked(groups: Iterator[tuple[int, list[Window]]]) -> Iterator[tuple[int, list[Window], float]]:
    """Yield groups, and the seconds that each was waited for."""
    start = time.perf_counter()
    for block, windows in groups:
        yield block, windows, time.perf_counter() - start
        start = time.perf_counter()


class Sums:
    """Moments of the frames so far, per hidden state: products in float32, sums in float64.

    A batch is centred on its own mean, so that its products have no offset to lose digits to. Batches merge as in
    `moments` (Chan, Golub and LeVeque 1983). On most GPUs float64 is 32 to 64 times slower than float32.
    """

    def __init__(self, states: int, width: int, device: torch.device) -> None:
        self.count = [0] * states
        self.mean = torch.zeros(states, width, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(states, width, width, dtype=torch.float64, device=device)

    def add(self, state: int, frames: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
        """Add frames (m, d), float32; return their sums (clips, d), float64, by clip, which `owner` tells apart."""
        seen, new = self.count[state], len(frames)
        middle = frames.mean(dim=0)
        centred = frames - middle
        sums = (owner @ centred).double()
        # four strips of rows, each from the diagonal on: `pack` reads no more, and this is 5/8 of the full product
        step = -(-centred.shape[1] // 4)
        for left in range(0, centred.shape[1], step):
            rows = slice(left, left + step)
            self.scatter[state][rows, left:] += centred[:, rows].T @ centred[:, left:]
        # a mean that is far greater than the spread is rounded; `rest` is what it lacks
        rest = sums.sum(dim=0) / new
        apart = middle.double() + rest - self.mean[state]
        self.scatter[state].addr_(rest, rest, alpha=-new)
        self.scatter[state].addr_(apart, apart, alpha=seen * new / (seen + new))
        self.mean[state] += apart * (new / (seen + new))
        self.count[state] = seen + new
        return sums + owner.sum(dim=1, keepdim=True).double() * middle.double()

    def moments(self, state: int) -> moments.Moments:
        return moments.Moments(self.count[state], self.mean[state].cpu().numpy(), self.scatter[state].cpu().numpy())


def _read_ahead(
    encoder: Encoder, recordings: list[Recording], order: list[tuple[int, int]]
) -> Generator[tuple[int, list[Window]]]:
    """Read clips, and yield the windows of each block, `READ_AHEAD_SECONDS` of audio at a time.

    While the encoder computes, as much is read of what comes next, also where that is of the next block.

    Parameters
    ----------
    order
        (block, number of the recording), block by block.
    """

    def windows_of(i: int) -> list[Window]:
        samples = forward.read(encoder, recordings[i].path, recordings[i].edits)
        return [(i, w) for w in forward.prepare(encoder, samples)]

    # one header at a time, so that a long list does not keep the encoder waiting
    left = ((block, i, audio.seconds(recordings[i].path, recordings[i].edits)) for block, i in order)
    coming: deque[tuple[int, float, Future[list[Window]]]] = deque()
    windows: list[Window] = []
    block = 0
    held = ahead = 0.0  # seconds in `windows` and in `coming`
    with ThreadPoolExecutor(READERS) as pool:
        try:
            following = next(left, None)
            while following or coming:
                while following and (not coming or ahead + following[2] <= READ_AHEAD_SECONDS):
                    of_block, i, seconds = following
                    following = next(left, None)
                    coming.append((of_block, seconds, pool.submit(windows_of, i)))
                    ahead += seconds
                of_block, seconds, clip = coming.popleft()
                if windows and (of_block != block or held + seconds > READ_AHEAD_SECONDS):
                    yield block, windows
                    windows, held = [], 0.0
                block = of_block
                windows += clip.result()
                held, ahead = held + seconds, ahead - seconds
        finally:
            for _, _, future in coming:
                future.cancel()
    if windows:
        yield block, windows


def _run(encoder: Encoder, windows: list[Window], sums: Sums, result: Embeddings) -> None:
    """Run the windows of several clips of one block: add to the sums, and write clip means into `result`."""
    windows = sorted(windows, key=lambda window: len(window[1]))
    members = sorted({i for i, _ in windows})
    exact = devices.exact(encoder.device)
    totals = torch.zeros(encoder.layers + 1, len(members), encoder.width, dtype=torch.float64, device=exact)
    place = {i: k for k, i in enumerate(members)}
    waiting: list[list[Window]] = []
    while windows or waiting:
        batch = waiting.pop() if waiting else _take(windows, round(BATCH_SECONDS * encoder.rate))
        # all hidden states before any sum, so that a batch that does not fit into memory has changed nothing
        states, lengths, owner = _states(encoder, batch, place)
        if states is None:
            if len(batch) == 1:
                raise UserError(
                    f"clip {result.clips[batch[0][0]]}: {len(batch[0][1]) / encoder.rate:.1f} s of it at once do not "
                    f"fit the GPU's memory; let nothing else use the GPU, lower `encoders.{encoder.name}."
                    "window_seconds`, or set `device: cpu`"
                )
            log.info("the GPU is out of memory with %d windows at once; going on with half of them", len(batch))
            waiting += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
            continue
        for (i, _), length in zip(batch, lengths, strict=True):
            result.frames[i] += length
        for state, frames in enumerate(states):
            totals[state] += sums.add(state, frames.to(exact), owner)
        # of all totals at once, because a GPU waits at every look
        if not totals.sum().isfinite():
            names = [result.clips[i] for i, _ in batch]
            _name_broken(encoder, states, [n for n, frames in zip(names, lengths, strict=True) for _ in range(frames)])
    counts = torch.from_numpy(result.frames[members]).to(exact)
    result.pooled[:, members] = (totals / counts[:, None]).float().cpu().numpy()


def _name_broken(encoder: Encoder, states: list[torch.Tensor], clip_of: list[str]) -> NoReturn:
    """Stop at the first hidden state (m, d) of a batch that is not finite; `clip_of` names the clip of each frame."""
    for state, frames in enumerate(states):
        broken = (~frames.isfinite().all(dim=1)).nonzero()
        if len(broken):
            raise UserError(
                f"encoder `{encoder.name}`: hidden state {state} of clip {clip_of[int(broken[0])]} is not finite (NaN "
                "or infinite); if it is so for other clips too, the checkpoint is damaged or computes beyond the range "
                "of float32: fetch it again or use another; if only for this one, take the clip out of the corpus"
            )
    raise UserError(f"encoder `{encoder.name}`: its hidden states are so large that sums are not finite")


def _states(encoder: Encoder, batch: list[Window], place: dict[int, int]) -> tuple:
    """Compute all hidden states of a batch.

    Returns
    -------
    states : list of Tensor (m, d), or None
        The frames of all windows, for every hidden state. None if they do not fit the GPU's memory.
    lengths : list of int
        How many frames each window has.
    owner : Tensor (members, m), float32
        Row k is 1 at the frames of the clip whose place is k: a product with it is faster than adding frame by frame.
    """
    try:
        with devices.autocast(encoder.device, encoder.precision):
            windows, together = [w for _, w in batch], encoder.device.type != "cpu"
            fronts, lengths = zip(*forward.fronts(encoder, windows, together=together), strict=True)
            # blocks add to their input: in float32, so that no sum is rounded to bfloat16
            padded = list(forward.blocks(encoder, [state.float() for state in fronts]))
        longest = max(map(len, fronts))
        lengths_column = torch.tensor(lengths, device=encoder.device)[:, None]
        valid = (torch.arange(longest, device=encoder.device) < lengths_column).flatten().nonzero().squeeze(1)
        exact = devices.exact(encoder.device)
        owner = torch.zeros(len(place), sum(lengths), device=exact)
        column = 0
        for (i, _), length in zip(batch, lengths, strict=True):
            owner[place[i], column : column + length] = 1
            column += length
        return [state.flatten(0, 1).index_select(0, valid).float() for state in padded], list(lengths), owner
    except torch.OutOfMemoryError:
        return None, [], None


def _take(windows: list[Window], room: int) -> list[Window]:
    """Take the longest windows off the end: as many as fit `room` samples with their padding, but at least one."""
    longest = len(windows[-1][1])
    count = max(1, min(len(windows), room // longest))
    batch = windows[-count:]
    del windows[-count:]
    return batch


def attributes(encoder: Encoder, entry: dict, domain: str, emotion: str) -> dict:
    """List the attributes of an embedding file except its layer: what it holds, and how it was made.

    Parameters
    ----------
    encoder
        The encoder that made it.
    entry
        The encoder's entry in the catalogue.
    domain, emotion
        What it holds.

    Returns
    -------
    dict
        Strings and numbers by name.
    """
    return {
        "model": encoder.name,
        "domain": domain,
        "encoder": entry["checkpoint"],
        "revision": entry.get("revision") or "local",
        "control": entry.get("control") or "none",
        "family": encoder.family,
        "weights": encoder.weights,
        "precision": encoder.precision,
        "emotion": emotion,
        "sample_rate": encoder.rate,
        "frame_rate": encoder.rate / encoder.hop,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "speechsong": __version__,
    }
