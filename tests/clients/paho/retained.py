"""Retained messages: set, replaced, cleared, found by wildcards, and not marked retained to those who were there."""

from scenario import expect, run


def retained(broker, topic_filter, client_id="retained-reader"):
    """What a new subscription finds: {topic: payload}."""
    reader = broker.connect(client_id).subscribe("retained-end", 1).subscribe(topic_filter, 1)
    # Retained messages may come after the SUBACK and in any order, from shards other than this publication's.
    found = {}
    while True:
        message = reader.message(f"the retained messages of {topic_filter}")
        if message.topic == "retained-end":
            reader.disconnect()
            return found
        expect(message.retain, True, f"the retain flag of {message.topic}")
        found[message.topic] = message.payload.decode()
        if len(found) == EXPECTED[topic_filter]:
            reader.publish("retained-end", "", 1)


EXPECTED = {"r/one": 1, "r/+": 2, "r/#": 4, "#": 4, "r/many/+": 2}


def scenario(broker):
    publisher = broker.connect("retained-publisher")
    there = broker.connect("retained-there").subscribe("r/#", 1)
    publisher.publish("r/one", "first", retain=True)
    message = there.message()
    expect((message.payload, message.retain), (b"first", False), "to one who was there")
    publisher.publish("r/one", "second", retain=True, qos=0)
    publisher.publish("r/two", "two", retain=True, qos=2)
    publisher.publish("r/many/1", "m1", retain=True)
    publisher.publish("r/many/2", "m2", retain=True)
    publisher.publish("r/one", "not retained")
    expect(there.payloads(5), ["second", "two", "m1", "m2", "not retained"], "to one who was there")

    everything = {"r/one": "second", "r/two": "two", "r/many/1": "m1", "r/many/2": "m2"}
    expect(retained(broker, "r/one"), {"r/one": "second"}, "the last of a topic")
    expect(retained(broker, "r/+"), {"r/one": "second", "r/two": "two"}, "by +")
    expect(retained(broker, "r/#"), everything, "by #")
    expect(retained(broker, "#"), everything, "by # alone")
    expect(retained(broker, "r/many/+"), {"r/many/1": "m1", "r/many/2": "m2"}, "by +")

    publisher.publish("r/one", b"", retain=True)
    message = there.message()
    expect((message.payload, message.retain), (b"", False), "the clearing message to one who was there")
    EXPECTED["r/#"] = 3
    del everything["r/one"]
    expect(retained(broker, "r/#"), everything, "after one was cleared")
    for topic in everything:
        publisher.publish(topic, b"", retain=True)
    late = broker.connect("retained-late").subscribe("r/#", 1)
    publisher.publish("r/end", "end")
    expect(late.message().topic, "r/end", "after all were cleared")


run(scenario)
