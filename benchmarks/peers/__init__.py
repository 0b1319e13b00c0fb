"""Other systems measured beside ours: same weights, same prompts, same threads, taking turns in one run."""
