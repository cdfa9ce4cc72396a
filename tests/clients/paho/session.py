"""A lasting session: what comes while the client is away waits in order, and what was not acknowledged comes again."""

from scenario import expect, run

MESSAGES = 300


def offline_queue(broker, publisher):
    subscriber = broker.connect("sleeper", lasting=True).subscribe("session/#", 2)
    expect(subscriber.session_present, False, "whether there was a session")
    subscriber.disconnect()
    sent = [f"{n}" for n in range(MESSAGES)]
    for n, payload in enumerate(sent):
        publisher.publish(f"session/{n % 3}", payload, qos=1 + n % 2, wait=n % 50 == 0)
    publisher.publish("session/end", "end", 2)

    back = broker.connect("sleeper", lasting=True)
    expect(back.session_present, True, "whether the session is there")
    came = back.payloads(MESSAGES + 1)
    for qos in (1, 2):
        due = [payload for payload in sent if int(payload) % 2 == qos - 1]
        expect([payload for payload in came if payload != "end" and int(payload) % 2 == qos - 1], due, f"QoS {qos}")
    expect(came[-1], "end", "the last")
    publisher.publish("session/now", "now")
    expect(back.payloads(1), ["now"], "once it is back")
    back.unsubscribe("session/#")
    back.disconnect()
    publisher.publish("session/now", "unwanted")
    back = broker.connect("sleeper", lasting=True).subscribe("session/end", 1)
    publisher.publish("session/end", "end")
    expect(back.payloads(1), ["end"], "after an unsubscription")


def unacknowledged(broker, publisher):
    careless = broker.connect("careless", lasting=True, manual_ack=True).subscribe("again", 1)
    for payload in ("a", "b", "c"):
        publisher.publish("again", payload)
    expect(careless.payloads(3), ["a", "b", "c"], "the first time")
    careless.vanish()
    careful = broker.connect("careless", lasting=True)
    again = [careful.message("what was not acknowledged") for _ in range(3)]
    expect([(message.payload, message.dup) for message in again], [(b"a", True), (b"b", True), (b"c", True)], "again")
    careful.disconnect()
    broker.connect("careless").subscribe("again", 1)
    expect(broker.connect("careless", lasting=True).session_present, False, "whether a clean session stayed")


def scenario(broker):
    publisher = broker.connect("session-publisher")
    offline_queue(broker, publisher)
    unacknowledged(broker, publisher)


run(scenario)
