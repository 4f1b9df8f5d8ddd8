"""``python -m customize_rocm.check``: hold this machine's GPU to what it must do."""

from customize_rocm.backend import ROCm
from customize_torch.checking.command import main

if __name__ == "__main__":
    main(ROCm)
