"""Where a test's chance comes from: a seed that is printed, and can be given back to play it again."""

import os
import random


def seed():
    """PANDO_CHAOS_SEED, or a new one."""
    chosen = int(os.environ.get("PANDO_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"PANDO_CHAOS_SEED={chosen}")
    return chosen
