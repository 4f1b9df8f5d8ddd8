"""The backend ``rocm``: torch on one AMD GPU. Imports torch only when a model is loaded.

torch calls the device ``cuda`` there too. Attention goes segment by segment: torch's flash
attention over many of them at once was not tried on these devices.
"""

from __future__ import annotations

from customize import options
from customize_rocm.driver import reason_against
from customize_torch.gpu import GPU, built_for

_FP8 = ("gfx942", "gfx950", "gfx120")  # Instinct MI300 and MI350, Radeon of RDNA 4


@options
class ROCm(GPU):
    """torch on one AMD GPU, in bf16 where the GPU has it."""

    name = "rocm"

    def probe(self) -> str | None:
        built = built_for()
        if built is None:
            return "not installed: pip install torch"
        if not built["hip"]:
            kind = f"for CUDA ({built['cuda']})" if built["cuda"] else "without a GPU"
            return (
                f"this torch was built {kind}: install a ROCm build, as "
                "https://pytorch.org/get-started/locally says"
            )
        return reason_against()

    def has_bf16(self) -> bool:
        """All that ROCm's torch serves do, as it says."""
        return True

    def has_fp8(self) -> bool:
        import torch

        kind: str = torch.cuda.get_device_properties(self.device).gcnArchName
        return kind.startswith(_FP8)
