"""``python -m customize_cuda.check``: hold this machine's GPU to what it must do."""

from customize_cuda.backend import CUDA
from customize_torch.checking.command import main

if __name__ == "__main__":
    main(CUDA)
