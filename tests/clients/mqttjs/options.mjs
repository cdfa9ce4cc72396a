// The options of a subscription: identifiers, no local, retain as published, retain handling.

import { expect, run } from "./scenario.mjs";

await run(async (broker) => {
    const client = await broker.connect("options");
    const other = await broker.connect("options-other");
    await client.subscribe("local", 1, { nl: true });
    await client.publish("local", "own");
    await other.publish("local", "from another");
    expect(await client.payloads(1), ["from another"], "with no local");

    await client.subscribe("kept", 1, { rap: true, properties: { subscriptionIdentifier: 42 } });
    await other.publish("kept", "x", 1, { retain: true });
    let message = await client.message();
    expect([message.retain, message.properties.subscriptionIdentifier], [true, 42], "with retain as published");

    for (const [rh, comes] of [
        [1, false],
        [0, true],
        [2, false],
    ]) {
        await client.subscribe("kept", 1, { rh });
        if (comes) expect(await client.payloads(1), ["x"], `retain handling ${rh}`);
        await other.publish("kept", "live", 1);
        expect(await client.payloads(1), ["live"], `retain handling ${rh} of a subscription that exists`);
    }
});
