"""What the backends on torch's ``cuda`` device share: NVIDIA's and AMD's are both called so there.

Knows no vendor: each backend says in ``probe`` what it needs. Imports torch only when used.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from customize import (
    Adapter,
    Backend,
    BackendError,
    Engine,
    ModelFolder,
    ModelShape,
    Smaller,
    option,
    options,
)
from customize_torch.estimating import SHARE, changes, sampling_bytes, training_bytes
from customize_torch.holding import (
    BASES,
    CAPABILITIES,
    HELP,
    MAY_CHANGE,
    PLAIN,
    capabilities_of,
    numerics_of,
)
from customize_torch.own_options import OwnOptions

if TYPE_CHECKING:
    from customize_torch.engine import TorchEngine
    from customize_torch.kernels import Kernels

# Logits in float32 that the head holds at once: a gigabyte, or a 64th of the device's memory.
_LOGITS, _A_LOGIT = 1 << 28, 4 * 64


@options
class GPU(Backend):
    """The torch engine on one device that torch calls ``cuda``.

    varlen: whether torch's flash attention takes many segments at once on those of the vendor's
    devices that have bfloat16.
    """

    varlen: ClassVar[bool] = False

    dtype: str = option(
        default="auto",
        help="What the base computes in; adapters are always float32. auto takes bfloat16 where "
        "the device has it, and logs it.",
        choices=("auto", "float32", "bfloat16"),
    )
    base: str = option(default=PLAIN, help=HELP, choices=BASES)
    device: int = option(default=0, help="Which of the devices that are visible.", at_least=0)
    token_budget: int = option(
        default=8192, help="Tokens computed together; more is faster and larger.", at_least=1
    )
    kernels: str = option(
        default="auto",
        help="What a decoder computes between matrix products: auto takes triton's where triton "
        "is installed.",
        choices=("auto", "torch", "triton"),
    )
    recompute: str = option(
        default="auto",
        help="Make activations again in the backward pass instead of keeping them: a third "
        "slower, and small. auto does it where the device's memory is short, and logs it.",
        choices=("auto", "always", "never"),
    )
    activation_mb: int = option(
        default=0,
        help="MB that kept activations may take before auto recomputes; 0 goes by what is free.",
        at_least=0,
    )

    def capabilities(self) -> frozenset[str]:
        return capabilities_of(CAPABILITIES, self.base)

    def settled(self, kept: Mapping[str, Any]) -> Backend:
        self._refuse_absent()
        made = {
            "dtype": self.dtype if self.dtype != "auto" else kept.get("dtype") or self._best(),
            "kernels": self._kernels_name(kept.get("kernels")),
        }
        return type(self)(**{**attrs.asdict(self), **made})  # type: ignore[arg-type]  # of attrs

    def numerics(self) -> Mapping[str, str | int]:
        """Not ``recompute``: the bits are the same."""
        return {
            "dtype": self.dtype,
            "kernels": self.kernels,
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
        free = self.activation_mb * (1 << 20) / SHARE or self.available_bytes()
        return training_bytes(
            shape, adapter, tokens, size, free, self.recompute, self._logits(), self.base
        )

    def sampling_memory(self, shape: ModelShape, rows: int, tokens: int) -> Mapping[str, float]:
        size = 4 if self.dtype == "float32" else 2
        return sampling_bytes(shape, rows, tokens, size, self.token_budget, lays_out=False)

    def available_bytes(self) -> float | None:
        import torch

        self._refuse_absent()
        return float(torch.cuda.mem_get_info(self.device)[0])

    def smaller(self, largest: int) -> Sequence[Smaller]:
        return [*changes(self.token_budget, self.recompute, self.base, largest)]

    def hardware(self) -> Mapping[str, str]:
        import torch

        self._refuse_absent()
        device = torch.cuda.get_device_properties(self.device)
        return {
            "device": device.name,
            "memory": f"{device.total_memory / 1e9:.0f} GB",
            "bf16": _yes_or_no(self.has_bf16()),
            "fp8": _yes_or_no(self.has_fp8()),
            "attention": "flash, all segments at once"
            if self._takes_segments() and self._dtype() == "bfloat16"
            else "scaled dot product, segment by segment",
        }

    def machine(self) -> Mapping[str, str | int]:
        import torch

        self._refuse_absent()
        return {"device": torch.cuda.get_device_properties(self.device).name}

    @abstractmethod
    def has_bf16(self) -> bool:
        """Whether the device multiplies in bfloat16 itself; torch makes others do so by float32."""

    @abstractmethod
    def has_fp8(self) -> bool:
        """Whether the device multiplies in 8 bits of floating point, which this engine does not."""

    def without_kernels(self) -> str | None:
        """Why the installed torch computes nothing on the device that it finds, or None."""
        return None

    def load(self, model: ModelFolder) -> Engine:
        from customize_torch.engine import TorchEngine

        return self.load_as(TorchEngine, model)

    def load_as(self, kind: type[TorchEngine], model: ModelFolder, within: str = "") -> Engine:
        """A base held in the way of this kind of engine.

        within: the backend of many processes, each of which computes by this one.
        """
        import torch

        from customize_torch.kernels import Place

        self._refuse_absent()
        # Kernels of triton and recorded steps go to the device that is current.
        torch.cuda.set_device(self.device)
        place = Place(
            torch.device("cuda", self.device),
            getattr(torch, self._dtype()),
            self._kernels(),
            self._logits(),
            self._takes_segments(),
            base=self.base,
        )
        sizes = self.token_budget, self.recompute, self.activation_mb
        own = OwnOptions(self.smaller, within or self.name, together=bool(within))
        return kind(model, place, *sizes, own)

    def _refuse_absent(self) -> None:
        """What a probe without torch cannot see.

        Raises:
            BackendError: torch cannot use the device.
        """
        import torch

        if not torch.cuda.is_available():
            raise BackendError(f"torch finds no device: {torch_says()}")
        if self.device >= torch.cuda.device_count():
            raise BackendError(
                f"device={self.device}, but torch sees {torch.cuda.device_count()}: "
                "they count from 0"
            )
        try:
            torch.cuda.get_device_properties(self.device)  # torch begins to use it here
        except RuntimeError as error:
            raise BackendError(f"torch cannot use the device: {_first_line(error)}") from error
        if (reason := self.without_kernels()) is not None:
            raise BackendError(reason)

    def _logits(self) -> int:
        """How many the head holds at once: not by what is free, since bits may depend on it."""
        import torch

        return min(_LOGITS, torch.cuda.get_device_properties(self.device).total_memory // _A_LOGIT)

    def _dtype(self) -> str:
        return self._best() if self.dtype == "auto" else self.dtype

    def _best(self) -> str:
        return "bfloat16" if self.has_bf16() else "float32"

    def _takes_segments(self) -> bool:
        """Flash attention is made of products in half precision, on devices that have bfloat16."""
        return self.varlen and self.has_bf16()

    def _kernels_name(self, kept: str | None = None) -> str:
        if self.kernels != "auto":
            return self.kernels
        return kept or ("triton" if find_spec("triton") else "torch")

    def _kernels(self) -> Kernels:
        if self._kernels_name() == "triton":
            from customize_torch.triton_kernels import KERNELS

            return KERNELS
        from customize_torch.kernels import PLAIN

        return PLAIN


def _yes_or_no(is_so: bool) -> str:
    return "yes" if is_so else "no"


def torch_says() -> str:
    """Why torch cannot reach a device, in its own words."""
    import torch

    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return _first_line(error)
    return "it sees none (is one hidden by an environment variable?)"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def built_for() -> Mapping[str, str | None] | None:
    """What the installed torch was built with, ``cuda`` and ``hip``, read without importing it.

    None where torch is not installed.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    told: dict[str, str | None] = {"cuda": None, "hip": None}
    for line in _lines(Path(spec.origin).with_name("version.py")):
        name, _, value = line.partition("=")
        name, value = name.split(":")[0].strip(), value.strip().strip("'\"")
        if name in told and value not in ("", "None"):
            told[name] = value
    return told


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except OSError:
        return []
