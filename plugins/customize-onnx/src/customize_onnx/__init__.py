"""Decoders in ONNX: written from safetensors, answering in onnxruntime. No torch in either."""

from typing import TYPE_CHECKING

__all__ = ["Generator"]

if TYPE_CHECKING:
    from customize_onnx.generator import Generator as Generator


def __getattr__(name: str) -> object:
    # onnxruntime is imported by who answers, not by who lists plugins.
    if name != "Generator":
        raise AttributeError(f"module 'customize_onnx' has no attribute {name!r}")
    from customize_onnx.generator import Generator

    return Generator
