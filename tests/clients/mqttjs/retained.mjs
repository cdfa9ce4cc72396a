// Retained messages: set, replaced, cleared, found by wildcards, and not marked retained to those who were there.

import { expect, run } from "./scenario.mjs";

await run(async (broker) => {
    const publisher = await broker.connect("retained-publisher");
    const there = await (await broker.connect("retained-there")).subscribe("r/#", 1);
    let readers = 0;

    // What a new subscription finds; `due` is how many there are to wait for.
    async function found(filter, due) {
        const reader = await broker.connect(`retained-reader-${readers++}`);
        await reader.subscribe(filter, 1);
        const topics = {};
        for (let n = 0; n < due; n++) {
            const message = await reader.message(`retained message ${n + 1} of ${filter}`);
            expect(message.retain, true, `the retain flag of ${message.topic}`);
            topics[message.topic] = message.payload.toString();
        }
        await publisher.publish(filter.replace(/[+#]/, "live"), "live");
        expect((await reader.message()).payload.toString(), "live", `what follows the retained messages of ${filter}`);
        await there.message();
        return topics;
    }

    for (const payload of ["first", "second"]) {
        await publisher.publish("r/one", payload, 1, { retain: true });
        const message = await there.message();
        expect([message.payload.toString(), message.retain], [payload, false], "to one who was there");
    }
    await publisher.publish("r/two", "two", 2, { retain: true });
    await publisher.publish("r/many/1", "m1", 0, { retain: true });
    expect(await there.payloads(2), ["two", "m1"], "to one who was there");
    const all = { "r/one": "second", "r/two": "two", "r/many/1": "m1" };
    expect(await found("r/one", 1), { "r/one": "second" }, "the last of a topic");
    expect(await found("r/+", 2), { "r/one": "second", "r/two": "two" }, "by +");
    expect(await found("r/#", 3), all, "by #");
    for (const topic of Object.keys(all)) {
        await publisher.publish(topic, "", 1, { retain: true });
        expect((await there.message()).payload.length, 0, "the clearing message to one who was there");
    }
    expect(await found("r/#", 0), {}, "after all were cleared");
});
