// A lasting session: what comes while the client is away waits in order.

import { expect, run } from "./scenario.mjs";

const MESSAGES = 300;

await run(async (broker) => {
    const publisher = await broker.connect("session-publisher");
    const subscriber = await (await broker.connect("sleeper", { lasting: true })).subscribe("session/#", 2);
    expect(subscriber.sessionPresent, false, "whether there was a session");
    await subscriber.disconnect();
    const due = { 1: [], 2: [] };
    const sent = [];
    for (let n = 0; n < MESSAGES; n++) {
        const qos = 1 + (n % 2);
        due[qos].push(`${n}`);
        sent.push(publisher.publish(`session/${n % 3}`, `${n}`, qos));
    }
    await Promise.all(sent);
    const back = await broker.connect("sleeper", { lasting: true });
    expect(back.sessionPresent, true, "whether the session is there");
    const came = { 1: [], 2: [] };
    for (let n = 0; n < MESSAGES; n++) {
        const message = await back.message(`message ${n + 1} of ${MESSAGES}`);
        came[message.qos].push(message.payload.toString());
    }
    expect(came, due, "the queue, each QoS in order");
    await publisher.publish("session/now", "now");
    expect(await back.payloads(1), ["now"], "once it is back");
    await back.disconnect();
    const clean = await broker.connect("sleeper");
    expect(clean.sessionPresent, false, "whether a clean start finds a session");
});
