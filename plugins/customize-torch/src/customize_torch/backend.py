"""The backend ``cpu``: torch on the processor. Imports torch only when a model is loaded."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import attrs

from customize import (
    Adapter,
    Backend,
    Engine,
    ModelFolder,
    ModelShape,
    Smaller,
    free_bytes,
    option,
    options,
)
from customize_torch.estimating import SHARE, SPREAD, changes, sampling_bytes, training_bytes
from customize_torch.holding import (
    BASES,
    CAPABILITIES,
    HELP,
    MAY_CHANGE,
    PLAIN,
    capabilities_of,
    numerics_of,
)
from customize_torch.measuring import bf16_speed, fastest_dtype, num_threads
from customize_torch.own_options import OwnOptions

if TYPE_CHECKING:
    from customize_torch.engine import TorchEngine


@options
class CPU(Backend):
    """torch on the processor, in bf16 where that is faster here, else in fp32."""

    name = "cpu"

    dtype: str = option(
        default="auto",
        help="What the base computes in; adapters are always float32. auto takes what is faster "
        "here, by measuring once on a machine, and logs it.",
        choices=("auto", "float32", "bfloat16"),
    )
    base: str = option(default=PLAIN, help=HELP, choices=BASES)
    threads: int = option(
        default=0, help="Threads to compute with; 0 takes torch's choice.", at_least=0
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
        return capabilities_of(CAPABILITIES, self.base)

    def settled(self, kept: Mapping[str, Any]) -> Backend:
        # Trying a dtype imports torch, and what torch takes by itself is remembered only before.
        threads = self.threads or kept.get("threads") or num_threads()
        made = {
            "dtype": self.dtype if self.dtype != "auto" else kept.get("dtype") or fastest_dtype(),
            "threads": threads,
        }
        return CPU(**{**attrs.asdict(self), **made})  # type: ignore[arg-type]  # it is one of attrs

    def numerics(self) -> Mapping[str, str | int]:
        """Not ``recompute``: the bits are the same. Sums are cut by threads and pieces."""
        return {
            "dtype": self.dtype,
            "threads": self.threads,
            "token_budget": self.token_budget,
            **numerics_of(self.base),
        }

    def may_change(self) -> frozenset[str]:
        return MAY_CHANGE

    def memory(
        self, shape: ModelShape, adapter: Adapter, largest: int, step_tokens: float
    ) -> Mapping[str, float]:
        tokens = max(largest, min(self.token_budget, step_tokens))
        size = 4 if self.dtype == "float32" else 2
        free = self.activation_mb * (1 << 20) / SHARE if self.activation_mb else free_bytes()
        return training_bytes(
            shape, adapter, tokens, size, free, self.recompute, base=self.base, spread=SPREAD
        )

    def sampling_memory(self, shape: ModelShape, rows: int, tokens: int) -> Mapping[str, float]:
        size = 4 if self.dtype == "float32" else 2
        lays_out = self.base == PLAIN
        return sampling_bytes(shape, rows, tokens, size, self.token_budget, lays_out)

    def available_bytes(self) -> float | None:
        return free_bytes()

    def smaller(self, largest: int) -> Sequence[Smaller]:
        return [*changes(self.token_budget, self.recompute, self.base, largest)]

    def hardware(self) -> Mapping[str, str]:
        return {"bf16": f"{bf16_speed():.1f} times as fast as float32"}

    def load(self, model: ModelFolder) -> Engine:
        from customize_torch.engine import TorchEngine

        return self.load_as(TorchEngine, model)

    def load_as(self, kind: "type[TorchEngine]", model: ModelFolder, within: str = "") -> Engine:
        """A base held in the way of this kind of engine.

        within: the backend of many processes, each of which computes by this one.
        """
        import torch

        from customize_torch.kernels import Place

        if self.threads:
            torch.set_num_threads(self.threads)
        dtype = getattr(torch, fastest_dtype() if self.dtype == "auto" else self.dtype)
        place = Place(dtype=dtype, base=self.base)
        sizes = self.token_budget, self.recompute, self.activation_mb
        own = OwnOptions(self.smaller, within or self.name, together=bool(within))
        return kind(model, place, *sizes, own)
