"""Affine maps of the spectrum, y = W (x - center) + bias: how they act, compose and stack.

Chains of fitted nodes fold into one such map, so a whole chain costs one matrix product. The
fold keeps the first center: subtracting it from the raw values is exact or nearly so, whereas a
bias-only form W x + b cancels large numbers (mean 2e4, spread 15: 2e-4 lost against 1.5e-7).
Where the first center is near zero it moves into the bias, and nothing is subtracted.

Blocking lives here: threads take pixels in runs, and work on a run in blocks that stay in a core's
cache, so that the centred pixels are never a second (n, c) array.

May import: `types`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import Barrier
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from cuvis_ai.types import CubeTensor, MappedCube, PixelMatrix

T = TypeVar("T")

BLOCK = 2048
"""Pixels a block: together with its centred copy it stays in a core's cache."""

RUN = 4 * BLOCK
"""Pixels that a thread takes at once: enough to outweigh handing them over."""

RUN_ON_DEVICE = 2**17
"""The same where the CPU only gives the orders."""

Head = Callable[[CubeTensor], MappedCube]
"""What is done to each pixel behind a map."""


@dataclass(frozen=True)
class Affine:
    """The map y = W (x - center) + bias from c channels to k channels.

    Attributes:
        weight: (k, c), or (c,) for a channelwise map, that is a diagonal W.
        center: (c,), subtracted first.
        bias: (k,), added last.
    """

    weight: Float[Tensor, "k c"] | Float[Tensor, " c"]
    center: Float[Tensor, " c"]
    bias: Float[Tensor, " k"]

    @property
    def channelwise(self) -> bool:
        """Whether each output channel depends on the same input channel alone."""
        return self.weight.ndim == 1

    @property
    def in_channels(self) -> int:
        """c."""
        return self.center.shape[0]

    @property
    def out_channels(self) -> int:
        """k."""
        return self.bias.shape[0]

    def matrix(self) -> Float[Tensor, "k c"]:
        """W as a matrix, also for a channelwise map."""
        return torch.diag(self.weight) if self.channelwise else self.weight

    def double(self) -> "Affine":
        """The same map in float64 on the CPU, still attached to its parameters."""
        weight, center, bias = (x.cpu().double() for x in (self.weight, self.center, self.bias))
        return Affine(weight, center, bias)

    def after(self, inner: "Affine | None") -> "Affine":
        """The map x -> self(inner(x)); it keeps the center of `inner`, unless that is near zero."""
        if inner is None:
            return self
        with torch.autocast(self.weight.device.type, enabled=False):
            if self.channelwise:
                scale = self.weight if inner.channelwise else self.weight[:, None]
                weight = scale * inner.weight
            else:
                weight = self.weight * inner.weight if inner.channelwise else self.weight @ inner.weight
                inner = inner._uncentred(self.center)
            return Affine(weight, inner.center, self._linear(inner.bias - self.center) + self.bias)

    def _uncentred(self, next_center: Float[Tensor, " k"]) -> "Affine":
        """The same map without a center, if a dense map centred at `next_center` follows and loses nothing.

        Folding W (D (x - center) - m) rounds at the size of W m, which is taken off in the bias. Where
        |D center| <= |m| in every channel, taking W D center off as well at most doubles that.
        """
        # On a device, looking at numbers makes the host wait; while a program is recorded it is impossible.
        if not (self.channelwise and self.weight.is_cpu) or _recording():
            return self
        moved = self.weight * self.center
        if not bool((moved.abs() <= next_center.abs()).all()):
            return self
        return Affine(self.weight, torch.zeros_like(self.center), self.bias - moved)

    def _linear(self, x: Float[Tensor, " c"]) -> Float[Tensor, " k"]:
        return self.weight * x if self.channelwise else self.weight @ x

    def __call__(self, pixels: PixelMatrix) -> Float[Tensor, "n k"]:
        """Return the mapped pixels, in the weights' dtype whatever autocast says."""
        with torch.autocast(pixels.device.type, enabled=False):
            pixels = pixels.to(self.weight.dtype)
            if _recording():
                centred = pixels - self.center
                linear = centred * self.weight if self.channelwise else centred @ self.weight.T
                return linear + self.bias
            result: Tensor = _Application.apply(pixels, self.weight, self.center, self.bias)
            return result

    def on_cube(self, cube: CubeTensor, head: Head | None = None) -> MappedCube:
        """Return the mapped cube (b, k, h, w), channels-last like its input, behind `head` if there is one.

        Without gradients the head is applied block by block, so that what it reads is never held as a
        whole; then a pixel for which the map gives a non-finite number is NaN behind the head, too.

        Args:
            cube: the input.
            head: acts on each pixel by itself; parameters of its own get no gradients.
        """
        b, _, h, w = cube.shape
        pixels = pixels_of(cube)
        parts = (pixels, self.weight, self.center, self.bias)
        tracked = torch.is_grad_enabled() and any(part.requires_grad for part in parts)
        if head is None:
            return cube_of(self(pixels), b, h, w)
        if tracked or _recording() or not cube.is_cpu:
            return head(cube_of(self(pixels), b, h, w))
        return cube_of(_headed(self, pixels, head), b, h, w)


def in_runs(work: Callable[[slice], T], pixels: PixelMatrix) -> Iterator[T]:
    """Yield work(run) for the runs of some pixels, in order, from as many threads as torch uses.

    A thread works by itself on its run, so that results do not depend on how many there are. No
    gradients are recorded.
    """
    n = len(pixels)
    length = RUN if pixels.is_cpu else RUN_ON_DEVICE
    runs = [slice(start, min(start + length, n)) for start in range(0, max(n, 1), length)]
    inference = torch.is_inference_mode_enabled()

    def task(run: slice) -> T:
        with torch.inference_mode(inference), torch.no_grad():
            return work(run)

    n_threads = torch.get_num_threads()
    if n_threads == 1 or len(runs) == 1 or not pixels.is_cpu:
        return map(task, runs)
    return _threads(n_threads, os.getpid()).map(task, runs)


@lru_cache(maxsize=1)
def _threads(n: int, process: int) -> ThreadPoolExecutor:
    """Threads in which torch takes one thread; by process, since a forked one has none of them.

    Torch's own threads wait for each other, spinning, in every operation, which takes many times
    longer once another process wants a core.
    """
    started = Barrier(n)

    def start() -> None:
        torch.get_num_threads()  # what torch does first in a thread sets the default number
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(n, "pixels", initializer=start)
    for _ in pool.map(lambda _: started.wait(), range(n)):
        pass
    torch.set_num_threads(n)  # the default for later threads, which `start` has changed
    return pool


def _recording() -> bool:
    """Whether operations are recorded, for export or compilation, instead of being done."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


class _Application(torch.autograd.Function):
    """y = W (x - center) + bias; the backward centres x again instead of keeping a second (n, c) array."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, weight: Tensor, center: Tensor, bias: Tensor) -> Tensor:  # type: ignore[override]  # torch: any arguments
        """Return y."""
        ctx.save_for_backward(pixels, weight, center)
        result = pixels.new_empty(len(pixels), len(bias))
        write = _writer(Affine(weight, center, bias))
        for _ in in_runs(lambda run: write(pixels[run], result[run]), pixels):
            pass
        return result

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]  # torch
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]  # likewise
        """Return the gradients of pixels, weight, center and bias."""
        pixels, weight, center = ctx.saved_tensors
        linear = torch.mul if weight.ndim == 1 else torch.mm
        to_pixels = torch.empty_like(pixels) if ctx.needs_input_grad[0] else None
        center_or_none = _center_or_none(center)

        def work(run: slice) -> tuple[Tensor, Tensor]:
            if to_pixels is not None:
                linear(grad[run], weight, out=to_pixels[run])
            to_weight = torch.zeros_like(weight)
            if ctx.needs_input_grad[1]:
                for centred, g in zip(_centred(pixels[run], center_or_none), _blocks(grad[run]), strict=True):
                    to_weight += (g * centred).sum(0) if weight.ndim == 1 else g.T @ centred
            return to_weight, grad[run].sum(0)

        with torch.autocast(grad.device.type, enabled=False):
            to_weight, to_bias = (
                torch.stack(parts).sum(0) for parts in zip(*in_runs(work, pixels), strict=True)
            )
            to_center = -(to_bias * weight if weight.ndim == 1 else to_bias @ weight)
        return to_pixels, to_weight, to_center, to_bias


def _writer(affine: Affine) -> Callable[[Tensor, Tensor], None]:
    """Return a function that writes the mapped pixels into its second argument."""
    linear, weight = torch.mul, affine.weight
    if not affine.channelwise:
        linear, weight = torch.mm, affine.weight.T.contiguous()
    center = _center_or_none(affine.center)
    bias = affine.bias.repeat(_ROWS)

    def write(pixels: Tensor, result: Tensor) -> None:
        for centred, block in zip(_centred(pixels, center), _blocks(result), strict=True):
            linear(centred, weight, out=block)
            # Rows of a few channels are added to much faster when many are taken as one.
            n_together = len(block) - len(block) % _ROWS
            block[:n_together].view(-1, len(bias)).add_(bias)
            block[n_together:].add_(affine.bias)

    return write


_ROWS = 32


def _headed(affine: Affine, pixels: PixelMatrix, head: Head) -> Float[Tensor, "n k"]:
    """The mapped pixels behind a head, which sees one block at a time."""
    write = _writer(affine)

    def work(run: slice) -> Tensor:
        parts = []
        for block in _blocks(pixels[run].to(affine.weight.dtype)):
            mapped = block.new_empty(len(block), affine.out_channels)
            write(block, mapped)
            # A sum is non-finite if a term is, and costs less than looking at each.
            finite = None if bool(mapped.sum().isfinite()) else mapped.isfinite().all(1, keepdim=True)
            part = pixels_of(head(cube_of(mapped, 1, len(block), 1)))
            parts.append(part if finite is None else torch.where(finite, part, torch.nan))
        return torch.cat(parts)

    with torch.autocast(pixels.device.type, enabled=False):
        return torch.cat(list(in_runs(work, pixels)))


def _center_or_none(center: Float[Tensor, " c"]) -> Float[Tensor, " c"] | None:
    """Nothing in place of zeros, where looking costs nothing."""
    return center if not center.is_cpu or bool(center.any()) else None


def _centred(pixels: PixelMatrix, center: Float[Tensor, " c"] | None) -> Iterator[Tensor]:
    """Yield the blocks of pixels - center, each in the place of the one before."""
    if center is None:
        yield from _blocks(pixels)
        return
    buffer = torch.empty_like(pixels[:BLOCK] if pixels.is_cpu else pixels)
    for block in _blocks(pixels):
        yield torch.sub(block, center, out=buffer[: len(block)])


def _blocks(pixels: Tensor) -> Sequence[Tensor]:
    """The blocks of a run; on a device the run as a whole."""
    blocks: Sequence[Tensor] = pixels.split(BLOCK) if pixels.is_cpu else (pixels,)
    return blocks


def stack(maps: Sequence[Affine]) -> Affine:
    """Return the map whose output is the concatenation of the maps' outputs on one input."""
    if len(maps) == 1:
        return maps[0]
    center = maps[0].center
    weight = torch.cat([m.matrix() for m in maps])
    bias = torch.cat([m.bias + m._linear(center - m.center) for m in maps])
    return Affine(weight, center, bias)


def identity_like(center: Float[Tensor, " c"]) -> Affine:
    """Return the channelwise map y = x, centred at zero, with the dtype and device of `center`."""
    return Affine(torch.ones_like(center), torch.zeros_like(center), torch.zeros_like(center))


def pixels_of(cube: CubeTensor) -> PixelMatrix:
    """Return the cube's pixels as rows: a view if the cube is channels-last."""
    return cube.permute(0, 2, 3, 1).reshape(-1, cube.shape[1])


def cube_of(pixels: Float[Tensor, "n k"], b: int, h: int, w: int) -> MappedCube:
    """Return rows of pixels as a channels-last cube (b, k, h, w), a view."""
    return pixels.view(b, h, w, -1).permute(0, 3, 1, 2)
