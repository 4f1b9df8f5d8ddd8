"""Values and gradients of the triton kernels beside the plain ones; run by test_torch_gpu."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from customize_torch.attention import Cache, Decode
from customize_torch.kernels import PLAIN
from customize_torch.triton_kernels import KERNELS

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WITHIN = {torch.float32: 1e-6, torch.bfloat16: 4e-2}
SUMMED = {torch.float32: 1e-5, torch.bfloat16: 4e-2}  # where hundreds of products are added


def main() -> None:
    for dtype, within in WITHIN.items():
        made = torch.Generator().manual_seed(0)

        def random(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.randn(shape, generator=made).to(DEVICE, dtype)  # noqa: B023 - used here

        turned = random(1, 7, 3, 24).transpose(1, 2), random(7, 24), random(7, 24)
        same("rms_norm", 1, within, random(1, 5, 48), random(48), 1e-5)
        same("rotate", 1, within, *turned)
        same("swiglu", 2, within, random(3, 100), random(3, 100))
        same("swiglu", 2, within, *random(1, 3, 2400).split(1200, -1))
        targets_T = torch.randint(0, 9000, (5,), generator=made).to(DEVICE)
        same_softmax(random(5, 9000), targets_T, within)
        for heads, num_keys, dim, window in ((6, 2, 24, 0), (3, 3, 64, 0), (4, 1, 32, 70)):
            new = [random(1, 5, n, dim).transpose(1, 2) for n in (heads, num_keys, num_keys)]
            held = random(5, num_keys, 200, dim), random(5, num_keys, 200, dim)
            same_attention(new, held, window, SUMMED[dtype])


def same_attention(
    new: list[Tensor], held: tuple[Tensor, Tensor], window: int, within: float
) -> None:
    """Outputs, and the cache as it is afterwards."""
    lengths_R = torch.tensor([0, 1, 64, 130, 199], device=DEVICE)
    out, caches = [], []
    for attend_new in (PLAIN.attend_new, KERNELS.attend_new):
        cache = Cache({0: (held[0].clone(), held[1].clone())})
        plan = Decode(cache, lengths_R, 200, attend_new)
        out.append(plan.attend(0, new[0], new[1], new[2], 0.3, window))
        caches.append(cache.layers[0])
    torch.testing.assert_close(out[1], out[0], atol=within, rtol=within)
    torch.testing.assert_close(caches[1], caches[0], atol=0, rtol=0)


def same(name: str, num_learnt: int, within: float, *values: Any) -> None:
    plain, found = (outcome(getattr(k, name), num_learnt, values) for k in (PLAIN, KERNELS))
    for expected, made in zip(plain, found, strict=True):
        torch.testing.assert_close(made, expected, atol=within, rtol=within)


def outcome(function: Callable[..., Tensor], num_learnt: int, values: Any) -> list[Tensor]:
    """The result, and the gradient by each of the first inputs."""
    inputs = [v.clone() if isinstance(v, Tensor) else v for v in values]
    learnt = [x.requires_grad_() for x in inputs[:num_learnt]]
    out = function(*inputs)
    out.backward(torch.linspace(-1, 1, out.numel()).view(out.shape).to(out))
    return [out.detach(), *(x.grad for x in learnt)]


def same_softmax(logits_TV: Tensor, targets_T: Tensor, within: float) -> None:
    expected, found = (k.softmax(logits_TV.clone(), targets_T) for k in (PLAIN, KERNELS))
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[1].float(), expected[1].float(), atol=within, rtol=within)
    torch.testing.assert_close(KERNELS.chosen(logits_TV, targets_T), found[0])


if __name__ == "__main__":
    main()
