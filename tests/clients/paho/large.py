"""Payloads of 8 MB, and small messages that follow them: not with QoS 0, which a broker may drop behind so much."""

import random

from scenario import expect, run


def scenario(broker):
    payload = random.Random(1).randbytes(8_000_000)
    subscribers = [broker.connect(f"large-{n}").subscribe("large/#", 2) for n in range(3)]
    publisher = broker.connect("large-publisher")
    for qos in (0, 1, 2):
        publisher.publish("large/payload", payload, qos)
        publisher.publish("large/small", f"after {qos}", max(qos, 1))
        for subscriber in subscribers:
            message = subscriber.message(f"8 MB with QoS {qos}")
            expect(message.payload == payload, True, f"whether 8 MB came whole with QoS {qos}")
            expect(subscriber.payloads(1), [f"after {qos}"], "what was sent next")
    publisher.publish("large/payload", payload, 1, retain=True)
    late = broker.connect("large-late").subscribe("large/payload", 1).message("8 MB retained")
    expect(late.payload == payload, True, "whether 8 MB came whole when they were retained")


run(scenario)
