"""Who is dead, by a clock that nobody sets."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.leases import Watch
from db.writes import Lease

START = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """A database's clock, a worker's own, and one run that is renewed or not."""

    def __init__(self, lease=30.0):
        self.lease, self.wall, self.steady = lease, START, 100.0
        self.watch = Watch(30.0, clock=lambda: self.steady)
        self.renew()

    def renew(self):
        self.until = self.wall + timedelta(seconds=self.lease)

    def wait(self, seconds):
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds

    def dead(self):
        return bool(self.watch.over([Lease(1, 1, self.until, (self.until - self.wall).total_seconds())]))  # fmt: skip


def test_a_run_without_a_sign_of_life_is_over_when_its_lease_is():
    world = World()
    assert not world.dead()
    world.wait(29)
    assert not world.dead()
    world.wait(1)
    assert world.dead()


def test_a_renewed_run_lives():
    world = World()
    for _ in range(10):
        world.wait(20)
        world.renew()
        assert not world.dead()


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_is_set_kills_nobody_and_saves_nobody(jump):
    world = World()
    world.dead()
    world.wall += timedelta(seconds=jump)
    world.wait(5)
    assert not world.dead()
    world.renew()
    assert not world.dead()
    world.wait(30)
    assert world.dead()


def test_one_whose_lease_seems_over_at_first_sight_may_still_speak():
    world = World()
    world.wait(100)
    assert not world.dead()
    world.wait(15)
    assert world.dead()


def test_after_an_outage_everybody_is_given_time():
    world = World()
    world.dead()
    world.wait(29)
    world.watch.forget()
    world.wait(5)
    assert not world.dead()
    world.renew()
    world.wait(20)
    assert not world.dead()


def test_a_longer_lease_of_another_worker_counts():
    world = World(lease=300.0)
    world.dead()
    world.wait(299)
    assert not world.dead()
    world.wait(1)
    assert world.dead()


@pytest.mark.parametrize("wrong", [-365 * 86400, -3600, -120])
def test_a_clock_that_was_wrong_at_first_sight_is_believed_for_minutes_only(wrong):
    world = World()
    world.wall += timedelta(seconds=wrong)
    assert not world.dead()
    world.wait(599 if wrong < -600 else 29)
    assert not world.dead()
    world.wait(1 if wrong < -600 else 121)
    assert world.dead()


def test_a_clock_that_is_corrected_shortens_what_it_promised():
    world = World()
    world.wall -= timedelta(days=365)
    assert not world.dead()
    world.wall += timedelta(days=365)
    for _ in range(3):
        world.wait(10)
        assert not world.dead()
    world.wait(10)
    assert world.dead()


def test_a_living_run_bears_that_the_clock_is_corrected():
    world = World(lease=300.0)
    world.wall -= timedelta(days=365)
    world.dead()
    world.wall += timedelta(days=365)
    for _ in range(20):
        world.wait(29)
        assert not world.dead()
        world.renew()
