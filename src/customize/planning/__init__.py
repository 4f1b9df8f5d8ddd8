"""What a run will take, said before anything is loaded: tokens, steps, memory, time and money."""
