"""Every QoS published to every QoS subscribed: the message comes with the lower of the two, once, and whole."""

from scenario import expect, run


def scenario(broker):
    publisher = broker.connect("qos-publisher")
    payloads = {"empty": b"", "text": "Grüße".encode(), "all bytes": bytes(range(256))}
    for granted in (0, 1, 2):
        subscriber = broker.connect(f"qos-subscriber-{granted}").subscribe("qos/+", granted)
        for sent in (0, 1, 2):
            for name, payload in payloads.items():
                what = f"{name}, published with QoS {sent} to a subscription of QoS {granted}"
                publisher.publish(f"qos/{sent}", payload, sent)
                message = subscriber.message(what)
                expect((message.topic, message.payload), (f"qos/{sent}", payload), what)
                expect((message.qos, message.retain, message.dup), (min(sent, granted), False, False), what)
        publisher.publish("qos/end", b"end", 2)
        expect(subscriber.message().topic, "qos/end", "nothing comes twice")
        subscriber.unsubscribe("qos/+")
        publisher.publish("qos/0", b"unwanted", 2)
        subscriber.subscribe("end", 2)
        publisher.publish("end", b"end", 2)
        expect(subscriber.message().topic, "end", "nothing comes after an unsubscription")


run(scenario)
