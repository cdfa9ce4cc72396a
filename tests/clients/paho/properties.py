"""The properties of a PUBLISH come through as they were sent, live, retained, queued and in a will."""

from paho.mqtt.packettypes import PacketTypes
from scenario import expect, properties, run

USER = [("b", "2"), ("a", "1"), ("b", "again"), ("", "no name"), ("unicode", "Grüße")]
SENT = {
    "PayloadFormatIndicator": 1,
    "ContentType": "text/plain",
    "ResponseTopic": "answers/here",
    "CorrelationData": bytes(range(64)),
    "UserProperty": USER,
}


def check(message, what):
    for name, value in SENT.items():
        expect(getattr(message.properties, name, None), value, f"{name}, {what}")


def scenario(broker):
    sleeper = broker.connect("properties-sleeper", lasting=True).subscribe("properties/live", 1)
    sleeper.disconnect()
    subscriber = broker.connect("properties-subscriber").subscribe("properties/#", 2)
    publisher = broker.connect("properties-publisher")
    for qos in (0, 1, 2):
        publisher.publish("properties/live", "x", qos, **SENT)
        check(subscriber.message(), f"QoS {qos}")
    publisher.publish("properties/retained", "x", 1, retain=True, **SENT)
    check(subscriber.message(), "live")
    check(broker.connect("properties-late").subscribe("properties/retained", 1).message(), "retained")
    back = broker.connect("properties-sleeper", lasting=True)
    for qos in (1, 2):
        check(back.message(), f"queued, QoS {qos}")

    in_will = properties(PacketTypes.WILLMESSAGE, **SENT)
    will = {"topic": "properties/will", "payload": "x", "qos": 1, "properties": in_will}
    broker.connect("properties-doomed", will=will).vanish()
    check(subscriber.message("the will"), "in a will")


run(scenario)
