"""The backend ``cuda``: torch on one NVIDIA GPU. Imports torch only when a model is loaded."""

from __future__ import annotations

from typing import ClassVar

from customize import options
from customize_cuda.driver import reason_against
from customize_torch.gpu import GPU, built_for

_BF16 = (8, 0)  # Ampere, which flash attention needs as well
_FP8 = (8, 9)  # Ada; Hopper and Blackwell come after it


@options
class CUDA(GPU):
    """torch on one NVIDIA GPU, in bf16 where the GPU has it."""

    name = "cuda"
    varlen: ClassVar[bool] = True

    def probe(self) -> str | None:
        built = built_for()
        if built is None:
            return "not installed: pip install torch"
        if built["hip"]:
            return f"this torch is a ROCm build ({built['hip']}): use the backend rocm"
        if not built["cuda"]:
            return (
                "torch was built without CUDA: install a build with it, as "
                "https://pytorch.org/get-started/locally says"
            )
        return reason_against()

    def has_bf16(self) -> bool:
        return self._capability() >= _BF16

    def has_fp8(self) -> bool:
        return self._capability() >= _FP8

    def _capability(self) -> tuple[int, int]:
        import torch

        found: tuple[int, int] = torch.cuda.get_device_capability(self.device)
        return found
