"""SmolLM2-135M-Instruct, a real model to start with."""
