// A second connection with the same client identifier ends the first, and takes over its session.

import { expect, run } from "./scenario.mjs";

await run(async (broker) => {
    const publisher = await broker.connect("takeover-publisher");
    let first = await (await broker.connect("taken", { lasting: true })).subscribe("takeover", 1);
    expect(first.sessionPresent, false, "whether the first finds a session");
    for (let round = 0; round < 5; round++) {
        const second = await broker.connect("taken", { lasting: true });
        expect(second.sessionPresent, true, "whether the second finds the session");
        await first.closed();
        if (broker.isV5) expect(first.reason, 0x8e, "the reason for the first");
        // With QoS 0: a message of QoS 1 whose acknowledgement is still on its way would rightly come again.
        await publisher.publish("takeover", `round ${round}`, 0);
        expect(await second.payloads(1), [`round ${round}`], "to the second, which did not subscribe");
        first = second;
    }
    const fresh = await broker.connect("taken");
    expect(fresh.sessionPresent, false, "whether a clean start finds a session");
    await publisher.publish("takeover", "unwanted");
    await fresh.subscribe("takeover", 1);
    await publisher.publish("takeover", "wanted");
    expect(await fresh.payloads(1), ["wanted"], "after a clean start");
});
