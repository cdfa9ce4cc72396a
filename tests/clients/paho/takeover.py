"""A second connection with the same client identifier ends the first, and takes over its session."""

from scenario import WAIT_S, expect, run


def scenario(broker):
    publisher = broker.connect("takeover-publisher")
    first = broker.connect("taken", lasting=True).subscribe("takeover", 1)
    expect(first.session_present, False, "whether the first finds a session")
    for round_ in range(5):
        # With QoS 0: a message of QoS 1 whose acknowledgement is still on its way would rightly come again.
        publisher.publish("takeover", f"before {round_}", 0)
        expect(first.payloads(1), [f"before {round_}"], "to the first")
        second = broker.connect("taken", lasting=True)
        expect(second.session_present, True, "whether the second finds the session")
        reason = first.disconnected.get(timeout=WAIT_S)
        if broker.is_v5:
            expect(reason.value, 0x8E, f"the reason for the first ({reason})")
        publisher.publish("takeover", f"after {round_}", 0)
        expect(second.payloads(1), [f"after {round_}"], "to the second, which did not subscribe")
        expect(first.incoming.empty(), True, "whether the first got nothing more")
        first = second

    fresh = broker.connect("taken")
    expect(fresh.session_present, False, "whether a clean start finds a session")
    publisher.publish("takeover", "unwanted")
    fresh.subscribe("takeover", 1)
    publisher.publish("takeover", "wanted")
    expect(fresh.payloads(1), ["wanted"], "after a clean start")


run(scenario)
