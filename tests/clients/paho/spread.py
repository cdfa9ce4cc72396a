"""Many clients, so many that they live on different shards whatever their number: everybody hears everybody in order."""

from scenario import WAIT_S, expect, run

SUBSCRIBERS = 12
PUBLISHERS = 6
MESSAGES = 40


def scenario(broker):
    exact = {n: broker.connect(f"spread-exact-{n}").subscribe(f"spread/{n}/x", 1) for n in range(PUBLISHERS)}
    hearing_all = [broker.connect(f"spread-{n}").subscribe("spread/+/x", 1) for n in range(SUBSCRIBERS)]
    publishers = [broker.connect(f"spread-publisher-{n}") for n in range(PUBLISHERS)]
    for round_ in range(MESSAGES):
        last = [publisher.publish(f"spread/{n}/x", f"{n} {round_}", wait=False) for n, publisher in enumerate(publishers)]
    for published in last:
        published.wait_for_publish(WAIT_S)

    for n, subscriber in exact.items():
        expect(subscriber.payloads(MESSAGES), [f"{n} {round_}" for round_ in range(MESSAGES)], f"what publisher {n} sent")
    for subscriber in hearing_all:
        came = [payload.split() for payload in subscriber.payloads(MESSAGES * PUBLISHERS)]
        for n in range(PUBLISHERS):
            rounds = [int(round_) for publisher, round_ in came if publisher == f"{n}"]
            expect(rounds, list(range(MESSAGES)), f"publisher {n} as everybody hears it")

    # A subscription is in force everywhere once its SUBACK is there: whoever publishes after it is heard.
    for n, publisher in enumerate(publishers):
        for late in range(3):
            subscriber = broker.connect(f"spread-late-{n}-{late}").subscribe(f"late/{n}/{late}", 1)
            publisher.publish(f"late/{n}/{late}", "heard", 0)
            expect(subscriber.payloads(1), ["heard"], "right after the SUBACK")


run(scenario)
