"""In the place of what a maker of hardware has already: arrays with gradients, and a llama."""
