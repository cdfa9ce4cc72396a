"""Subscription identifiers: each message says which subscriptions it is for, also after an identifier was replaced."""

from paho.mqtt.packettypes import PacketTypes
from scenario import expect, properties, run


def identified(n):
    return properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=n)


def identifiers(subscriber, what):
    """The identifiers with which the next publication comes: in one message or in one for each subscription."""
    found = []
    while True:
        message = subscriber.message(what)
        if message.topic == "end":
            return sorted(found)
        found += getattr(message.properties, "SubscriptionIdentifier", [])


def scenario(broker):
    publisher = broker.connect("ids-publisher")
    subscriber = broker.connect("ids-subscriber").subscribe("end", 1)
    subscriber.subscribe("ids/a", 1, subscription_properties=identified(1))
    subscriber.subscribe("ids/+", 1, subscription_properties=identified(268_435_455))
    subscriber.subscribe("ids/b", 1)

    def found(topic):
        publisher.publish(topic, "x")
        publisher.publish("end")
        return identifiers(subscriber, f"a publication to {topic}")

    expect(found("ids/a"), [1, 268_435_455], "two subscriptions")
    expect(found("ids/b"), [268_435_455], "one with an identifier and one without")
    subscriber.subscribe("ids/a", 1, subscription_properties=identified(7))
    expect(found("ids/a"), [7, 268_435_455], "after one was replaced")
    subscriber.unsubscribe("ids/+")
    expect(found("ids/a"), [7], "after one was removed")

    publisher.publish("ids/a", "kept", retain=True)
    late = broker.connect("ids-late").subscribe("ids/#", 1, subscription_properties=identified(5)).message()
    expect(late.properties.SubscriptionIdentifier, [5], "a retained message")
    member = broker.connect("ids-member").subscribe("$share/g/shared", 1, subscription_properties=identified(9))
    publisher.publish("shared", "x")
    expect(member.message().properties.SubscriptionIdentifier, [9], "a shared subscription")


run(scenario)
