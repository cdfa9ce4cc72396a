"""The options of a subscription: no local, retain as published, retain handling."""

from paho.mqtt.subscribeoptions import SubscribeOptions
from scenario import expect, run


def no_local(broker):
    client = broker.connect("options-local").subscribe("local/#", 1, noLocal=True)
    other = broker.connect("options-other").subscribe("local/#", 1)
    client.publish("local/a", "own")
    expect(other.payloads(1), ["own"], "to another")
    other.publish("local/a", "from another")
    expect(client.payloads(1), ["from another"], "with no local")
    client.subscribe("local/#", 1, noLocal=False)
    client.publish("local/a", "own again")
    expect(client.payloads(1), ["own again"], "without no local")


def retain_as_published(broker):
    keeping = broker.connect("options-keeping").subscribe("as-published", 1, retainAsPublished=True)
    plain = broker.connect("options-plain").subscribe("as-published", 1)
    publisher = broker.connect("options-publisher")
    for retain in (True, False):
        publisher.publish("as-published", "x", retain=retain)
        expect(keeping.message().retain, retain, "with retain as published")
        expect(plain.message().retain, False, "without retain as published")


def retain_handling(broker):
    always, if_new, never = (
        SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE,
        SubscribeOptions.RETAIN_SEND_IF_NEW_SUB,
        SubscribeOptions.RETAIN_DO_NOT_SEND,
    )
    publisher = broker.connect("handling-publisher")
    publisher.publish("handling/topic", "kept", retain=True)

    def comes(subscriber, handling):
        """Whether the retained message comes when the subscriber subscribes (again)."""
        subscriber.subscribe("handling/topic", 1, retainHandling=handling)
        publisher.publish("handling/topic", "live")
        payloads = [subscriber.message().payload]
        if payloads == [b"kept"]:
            payloads.append(subscriber.message().payload)
        expect(payloads[-1], b"live", "the live message")
        return payloads[0] == b"kept"

    for n, (handling, at_first, again) in enumerate([(always, True, True), (if_new, True, False), (never, False, False)]):
        subscriber = broker.connect(f"handling-{n}")
        expect(comes(subscriber, handling), at_first, f"a new subscription, retain handling {handling}")
        expect(comes(subscriber, handling), again, f"a subscription that exists, retain handling {handling}")
        subscriber.unsubscribe("handling/topic")
        expect(comes(subscriber, handling), at_first, f"subscribed anew, retain handling {handling}")


def scenario(broker):
    no_local(broker)
    retain_as_published(broker)
    retain_handling(broker)


run(scenario)
