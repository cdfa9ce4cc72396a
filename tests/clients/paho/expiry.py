"""Message Expiry Interval: what expired is not delivered, what did not comes with the time that is left. Session expiry."""

import time

from paho.mqtt.packettypes import PacketTypes
from scenario import expect, properties, run


def scenario(broker):
    publisher = broker.connect("expiry-publisher")
    broker.connect("expiry-sleeper", lasting=True).subscribe("expiry/#", 1).disconnect()
    short = properties(PacketTypes.CONNECT, SessionExpiryInterval=1)
    broker.connect("expiry-short", lasting=True, connect_properties=short).subscribe("expiry/#", 1).disconnect()
    publisher.publish("expiry/a", "short", MessageExpiryInterval=1)
    publisher.publish("expiry/b", "for ever")
    publisher.publish("expiry/c", "long", MessageExpiryInterval=100)
    publisher.publish("expiry/d", "short and retained", retain=True, MessageExpiryInterval=1)
    publisher.publish("expiry/e", "long and retained", retain=True, MessageExpiryInterval=100)
    # The case is about time: it has to pass.
    time.sleep(2.2)
    back = broker.connect("expiry-sleeper", lasting=True)
    expect(back.message("what did not expire").payload, b"for ever", "the first that did not expire")
    for due in (b"long", b"long and retained"):
        message = back.message("what did not expire")
        expect(message.payload, due, "what did not expire")
        left = message.properties.MessageExpiryInterval
        expect(90 <= left <= 98, True, f"whether the time that passed was taken off (100 s became {left} s)")
    late = broker.connect("expiry-late").subscribe("expiry/#", 1)
    message = late.message("what is retained and did not expire")
    expect(message.payload, b"long and retained", "what is retained and did not expire")
    expect(90 <= message.properties.MessageExpiryInterval <= 98, True, "whether the time that passed was taken off")
    publisher.publish("expiry/end", "end", MessageExpiryInterval=50)
    for subscriber in (back, late):
        message = subscriber.message("the end")
        expect(message.payload, b"end", "what is delivered at once")
        left = message.properties.MessageExpiryInterval
        expect(40 <= left <= 50, True, f"whether hardly any time was taken off (50 s became {left} s)")
    gone = broker.connect("expiry-short", lasting=True)
    expect(gone.session_present, False, "whether a session outlived its expiry")


run(scenario)
