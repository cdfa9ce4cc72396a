"""Topic aliases of the client: set, used, set anew; every subscriber sees the topic."""

from scenario import expect, run


def scenario(broker):
    subscribers = [broker.connect(f"aliases-{n}").subscribe("alias/#", 1) for n in range(3)]
    publisher = broker.connect("aliases-publisher")
    allowed = getattr(publisher.connack_properties, "TopicAliasMaximum", 0)
    expect(allowed >= 2, True, f"whether two aliases are allowed (Topic Alias Maximum {allowed})")
    for topic, alias in [("alias/a", 1), ("", 1), ("alias/b", allowed), ("", 1), ("", allowed), ("alias/c", 1), ("", 1)]:
        publisher.publish(topic, f"{alias}", 1, TopicAlias=alias)
    due = ["alias/a", "alias/a", "alias/b", "alias/a", "alias/b", "alias/c", "alias/c"]
    for subscriber in subscribers:
        expect([subscriber.message().topic for _ in due], due, "the topics of aliases")


run(scenario)
