"""The backend ``cuda``: torch on one NVIDIA GPU. Imports torch only when a model is loaded."""

from __future__ import annotations

import re
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

    def without_kernels(self) -> str | None:
        import torch

        built, (major, minor) = torch.cuda.get_arch_list(), self._capability()
        if not built or any(_runs(kernels, major, minor) for kernels in built):
            return None
        return (
            f"this torch has no kernels for {torch.cuda.get_device_name(self.device)} "
            f"(sm_{major}{minor}; it has {', '.join(built)}): install a build that has them, as "
            "https://pytorch.org/get-started/locally says"
        )

    def _capability(self) -> tuple[int, int]:
        import torch

        found: tuple[int, int] = torch.cuda.get_device_capability(self.device)
        return found


def _runs(kernels: str, major: int, minor: int) -> bool:
    """Whether a device runs what was built as ``sm_86`` or ``compute_86``: the one within its
    generation, the other, which is translated there, in all later ones too.
    """
    found = re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", kernels)
    if found is None:
        return True  # a form that is not known refuses nobody
    built = int(found[2]), int(found[3])
    return built <= (major, minor) and (found[1] == "compute" or built[0] == major)
