# SPDX-License-Identifier: Apache-2.0
"""The bus goes over to the other engine: when it is refused, what waits meanwhile, and who must not touch the outbox."""

import signal
import subprocess

import pytest
from harness.programs import program
from harness.services import Refused
from harness.wait import wait_until

from peers import Bus

pytestmark = pytest.mark.engines("kafka")  # both are there only where a broker is

OURS = ("router", "notifier")


@pytest.fixture(params=["postgres", "kafka"])
def bus(request, postgres, tmp_path):
    """Our own groups are read by peers; the test begins on this engine."""
    with Bus(postgres, tmp_path, groups=(), settings={"MAILCASE_BUS": request.param}) as bus:
        bus.first, bus.second = request.param, "kafka" if request.param == "postgres" else "postgres"
        yield bus


def start_groups(bus):
    return [bus.start_peer("consume", MAILCASE_PEER_GROUP=group) for group in OURS]


def wait_all(bus, ids):
    for group in OURS:
        bus.wait_seen(ids, group)


def engine_now(bus):
    return bus.casectl_json("bus", "show")[0]["engine"]


def move(bus, *options):
    return bus.casectl("bus", "move", bus.second, *options)


def start_mover(bus, *options):
    return subprocess.Popen([program("casectl"), "bus", "move", bus.second, *options], env=bus.env(), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_mover(bus):
    """Until it has the relay's lease: its name is no process's."""
    bus.wait_rows("SELECT 1 FROM lease WHERE kind = 'relay' AND expires > clock_timestamp() AND owner NOT LIKE '%:%'")


def restart(bus, engine):
    """Every peer, one by one, with the other setting."""
    bus.settings["MAILCASE_BUS"] = engine
    for peer in list(bus.services):
        bus.stop(peer)
        bus.start_peer(peer.env["MAILCASE_PEER_MODE"], MAILCASE_PEER_GROUP=peer.env.get("MAILCASE_PEER_GROUP", "alpha"))


def test_what_was_on_the_old_engine_is_read_there_and_what_comes_later_on_the_new(bus):
    relay = bus.start_peer("relay")
    start_groups(bus)
    before = bus.put("test.storm", "test.storm")
    wait_all(bus, before)
    assert move(bus).stdout.startswith(f"the bus is {bus.second} now")
    assert engine_now(bus) == bus.second
    wait_until(lambda: relay.logs("relay.other_engine"), what="the relay has noticed")
    meanwhile = bus.put("test.storm")
    assert "already" in move(bus).stdout
    assert bus.unsent() == 1
    restart(bus, bus.second)
    after = bus.put("test.storm")
    wait_all(bus, meanwhile + after)
    for group in OURS:
        assert bus.seen(group) == before + meanwhile + after
    assert [event["ce_id"] for event in bus.events(engine=bus.first)] == [str(i) for i in before]
    assert [event["ce_id"] for event in bus.events(engine=bus.second)] == [str(i) for i in meanwhile + after]


def test_there_and_back_nothing_comes_twice(bus):
    bus.start_peer("relay")
    start_groups(bus)
    ids = []
    for engine in (bus.second, bus.first, bus.second):
        ids += bus.put("test.storm", "test.storm")
        wait_all(bus, ids)
        bus.casectl("bus", "move", engine)
        ids += bus.put("test.storm")
        restart(bus, engine)
        wait_all(bus, ids)
    for group in OURS:
        assert bus.seen(group) == ids


def test_it_waits_for_a_group_that_lags_and_gives_up_in_time(bus):
    relay = bus.start_peer("relay")
    router = bus.start_peer("consume", MAILCASE_PEER_GROUP="router")
    first = bus.put("test.storm", "test.storm")
    bus.wait_seen(first, "router")
    with pytest.raises(Refused) as refused:
        move(bus, "--wait", "4")
    assert refused.value.status == 1
    assert f"group notifier has 2 records to read; its service must run on {bus.first}" in refused.value.stderr
    assert engine_now(bus) == bus.first
    # Nothing has changed: the relay goes on at once.
    second = bus.put("test.storm")
    bus.wait_seen(second, "router", seconds=20)
    assert router.is_running() and not relay.logs("relay.other_engine")

    mover = start_mover(bus, "--wait", "60")
    wait_mover(bus)
    third = bus.put("test.storm")
    bus.start_peer("consume", MAILCASE_PEER_GROUP="notifier")
    out, err = mover.communicate(timeout=60)
    assert mover.returncode == 0, err
    assert out.startswith(f"the bus is {bus.second} now")
    restart(bus, bus.second)
    wait_all(bus, third)
    for group in OURS:
        assert bus.seen(group) == first + second + third


@pytest.mark.parametrize("blow", ["kill", "stop"])
def test_a_mover_that_is_gone_holds_nobody_up_for_long(bus, blow):
    """Killed, or stopped for longer than its lease lasts: the relays go on with the engine that is noted."""
    bus.start_peer("relay")
    bus.start_peer("consume", MAILCASE_PEER_GROUP="router")
    first = bus.put("test.storm")
    bus.wait_seen(first, "router")
    mover = start_mover(bus, "--wait", "600")
    try:
        wait_mover(bus)
        mover.send_signal(signal.SIGKILL if blow == "kill" else signal.SIGSTOP)
        second = bus.put("test.storm")
        bus.wait_seen(second, "router", seconds=20)
        assert engine_now(bus) == bus.first
        bus.start_peer("consume", MAILCASE_PEER_GROUP="notifier")
        wait_all(bus, first + second)
        if blow == "stop":
            mover.send_signal(signal.SIGCONT)
            _, err = mover.communicate(timeout=30)
            # Its question to the brokers may have run out of time before it looks at its lease.
            assert mover.returncode == 1 and ("the relay's lease was lost; try again" in err or "did not answer in time" in err)
            assert engine_now(bus) == bus.first
    finally:
        mover.kill()
        mover.wait()
    move(bus)
    restart(bus, bus.second)
    wait_all(bus, bus.put("test.storm"))


def test_the_wrong_engine_is_refused_or_stands_by(bus):
    with pytest.raises(Refused) as refused:
        bus.casectl("topics", engine=bus.second)
    assert refused.value.status == 1
    assert f"the bus of this installation is {bus.first} and MAILCASE_BUS says {bus.second}" in refused.value.stderr
    assert f"casectl bus move {bus.second}" in refused.value.stderr
    stranger = bus.start_peer("relay", MAILCASE_BUS=bus.second)
    wait_until(lambda: stranger.logs("relay.other_engine"), what="the relay has noticed")
    told = stranger.logs("relay.other_engine")[0]
    assert (told["installed"], told["ours"]) == (bus.first, bus.second) and "casectl bus move" in told["remedy"]
    ids = bus.put("test.storm")
    relay = bus.start_peer("relay")
    start_groups(bus)
    wait_all(bus, ids)
    assert relay.metrics()["mailcase_relay_holds"] == 1 and not stranger.logs("relay.taken")
    with pytest.raises(Refused) as refused:
        bus.casectl("bus", "move", "pigeon")
    assert refused.value.status == 2 and "postgres or kafka" in refused.value.stderr


def test_a_relay_that_slept_through_a_move_deletes_nothing(postgres, tmp_path, kafka):
    """It had read rows for kafka when it was stopped; when it wakes, the other engine's relay is still to move them."""
    with Bus(postgres, tmp_path, groups=(), settings={"MAILCASE_BUS": "kafka", "MAILCASE_KAFKA_BROKERS": kafka.bootstrap,
                                                      "MAILCASE_RELAY_LEASE_MS": "200"}) as bus:
        relay = bus.start_peer("relay")
        start_groups(bus)
        wait_all(bus, bus.put("test.storm"))
        kafka.pause()
        try:
            ids = bus.put("test.storm", "test.storm")
            wait_until(lambda: bus.rows("SELECT FROM lease WHERE kind = 'relay' AND expires < clock_timestamp()"), 10,
                       "the relay waits for the brokers", every=0.005)
            relay.pause()
        finally:
            kafka.resume()
        bus.casectl("bus", "move", "postgres")
        relay.go_on()
        wait_until(lambda: relay.logs("relay.lost") or relay.logs("relay.retried"), what="the relay has noticed")
        assert bus.unsent() == 2
        restart(bus, "postgres")
        wait_all(bus, ids)
