"""The backend ``cpu``: torch on the processor. Imports torch only when a model is loaded."""

import logging
from importlib.util import find_spec

from customize import Backend, Engine, ModelFolder, option, options

_log = logging.getLogger(__name__)


@options
class CPU(Backend):
    """torch on the processor, in bf16 where the processor computes in it, else in fp32."""

    name = "cpu"

    dtype: str = option(
        default="auto",
        help="What the base computes in; adapters are always float32.",
        choices=("auto", "float32", "bfloat16"),
    )
    token_budget: int = option(
        default=2048, help="Tokens computed together; more is faster and larger.", at_least=1
    )

    recompute: str = option(
        default="auto",
        help="Make activations again in the backward pass instead of keeping them: a quarter "
        "slower, and small. auto does it where memory is short, and logs it.",
        choices=("auto", "always", "never"),
    )
    activation_mb: int = option(
        default=0,
        help="MB that kept activations may take before auto recomputes; 0 goes by what is free.",
        at_least=0,
    )

    def probe(self) -> str | None:
        missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
        if missing:
            return f"not installed: pip install {' '.join(missing)}"
        return None

    def capabilities(self) -> frozenset[str]:
        from customize_torch.engine import CAPABILITIES

        return CAPABILITIES

    def load(self, model: ModelFolder) -> Engine:
        import torch

        from customize_torch.engine import TorchEngine

        dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        chosen = _fastest() if self.dtype == "auto" else self.dtype
        return TorchEngine(
            model, dtypes[chosen], self.token_budget, self.recompute, self.activation_mb
        )


def _fastest() -> str:
    """bf16 where the processor has instructions for it: a fact of the machine, so runs repeat."""
    import torch

    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    chosen = "bfloat16" if has_bf16 else "float32"
    _log.info("computing in %s: the processor %s bf16", chosen, "has" if has_bf16 else "lacks")
    return chosen
