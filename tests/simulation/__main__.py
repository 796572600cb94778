"""Run seeds: `python -m tests.simulation --seeds 200`."""

import sys
import time

from tests.simulation.world import play_seeds

if __name__ == "__main__":
    first, count = int(sys.argv[1]), int(sys.argv[2])
    began = time.process_time()
    for world in play_seeds(range(first, first + count)):
        if world.violations or count == 1:
            print("\n".join(world.trace))
        print(world.plan.seed, world.digest[:12], world.delivered, len(world.trace), world.violations[:3], f"{time.process_time() - began:.1f}")
