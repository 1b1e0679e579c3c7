"""A process whose threads claim until nothing is left."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from backend.patience import patiently
from db import session, writes

CLAIMERS = 4  # in a process


def claim_all(url: str, name: str, together: Any, queue: Any) -> None:
    """Claim every ready run once all processes have arrived; what each claimer got goes into the queue."""
    engine = session.open_database(url=url)
    assert engine is not None
    together.wait(600)

    def claim(number: int) -> list[int]:
        mine = []
        # As a worker does: SQLite lets nobody in by turns, so one of many may wait for long.
        while found := patiently(lambda: writes.claim(engine, f"{name} {number}", 60)):
            mine.append(found.run_id)
        return mine

    with ThreadPoolExecutor(CLAIMERS) as pool:
        for mine in pool.map(claim, range(CLAIMERS)):
            queue.put(mine)
