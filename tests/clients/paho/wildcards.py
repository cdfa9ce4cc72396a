"""Which topics each filter takes, down to the odd ones."""

from scenario import expect, run

TOPICS = ["a", "a/", "/a", "a/b", "a/b/c", "a//c", "/", "//", "A/b", "aa", "$internal/a", "é/b", "a/b c"]

FILTERS = {
    "#": ["a", "a/", "/a", "a/b", "a/b/c", "a//c", "/", "//", "A/b", "aa", "é/b", "a/b c"],
    "+": ["a", "aa"],
    "a/#": ["a", "a/", "a/b", "a/b/c", "a//c", "a/b c"],
    "a/+": ["a/", "a/b", "a/b c"],
    "+/+": ["a/", "/a", "a/b", "/", "A/b", "é/b", "a/b c"],
    "/+": ["/a", "/"],
    "+/b/#": ["a/b", "a/b/c", "A/b", "é/b"],
    "a/+/c": ["a/b/c", "a//c"],
    "a/b": ["a/b"],
    "$internal/#": ["$internal/a"],
    "$internal/+": ["$internal/a"],
    "+/a": ["/a"],
}


def scenario(broker):
    subscribers = {
        topic_filter: broker.connect(f"wildcards-{n}").subscribe(topic_filter, 1)
        for n, topic_filter in enumerate(FILTERS)
    }
    for subscriber in subscribers.values():
        subscriber.subscribe("end/of/all", 1)
    publisher = broker.connect("wildcards-publisher")
    for topic in [*TOPICS, "end/of/all"]:
        publisher.publish(topic, topic)
    for topic_filter, subscriber in subscribers.items():
        came = []
        while "end/of/all" not in came:
            came.append(subscriber.message(f"the end, for {topic_filter}").topic)
        # Overlapping subscriptions of one client may bring a message once for each, so "#" may see the end twice.
        expect(came[:-1], FILTERS[topic_filter], f"what {topic_filter} takes")


run(scenario)
