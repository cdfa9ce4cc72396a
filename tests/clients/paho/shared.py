"""A shared subscription: each message goes to one member, every member has work, and one that leaves is passed over."""

import queue

from scenario import WAIT_S, Wrong, expect, run

MESSAGES = 400


def collect(group, count):
    """The next messages of a group, whoever gets them: [(member, payload)]."""
    came = []
    while len(came) < count:
        try:
            came.append(group.get(timeout=WAIT_S))
        except queue.Empty:
            raise Wrong(f"{len(came)} of {count} messages came to the group") from None
    expect(group.empty(), True, "whether nothing came twice")
    return came


def scenario(broker):
    group = queue.Queue()
    members = {}
    for n in range(4):
        name = f"member-{n}"
        member = members[name] = broker.connect(f"shared-{name}")
        member.paho.on_message = lambda _client, _data, message, name=name: group.put((name, message.payload.decode()))
        member.subscribe("$share/group/work/+", 1)
    other_group = broker.connect("shared-other").subscribe("$share/other/work/#", 1)
    alone = broker.connect("shared-alone").subscribe("work/#", 1)
    publishers = [broker.connect(f"shared-publisher-{n}") for n in range(4)]
    due = [f"{n}" for n in range(MESSAGES)]
    for n, payload in enumerate(due):
        publishers[n % 4].publish(f"work/{n % 10}", payload)
    came = collect(group, MESSAGES)
    expect(sorted(int(payload) for _, payload in came), list(range(MESSAGES)), "what the group got")
    shares = {name: sum(1 for member, _ in came if member == name) for name in members}
    expect(min(shares.values()) > 0, True, f"whether every member has work ({shares})")
    expect(sorted(other_group.payloads(MESSAGES), key=int), due, "what the other group got")
    expect(sorted(alone.payloads(MESSAGES), key=int), due, "what a subscriber of its own got")

    for name in ("member-0", "member-1"):
        members.pop(name).disconnect()
    for n in range(40):
        publishers[n % 4].publish("work/later", f"{n}")
    came = collect(group, 40)
    expect(sorted(int(payload) for _, payload in came), list(range(40)), "what the rest of the group got")


run(scenario)
