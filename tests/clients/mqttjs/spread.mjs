// Many clients, so many that they live on different shards whatever their number: everybody hears everybody in order.

import { expect, run } from "./scenario.mjs";

const CLIENTS = 10;
const MESSAGES = 30;

await run(async (broker) => {
    const clients = [];
    for (let n = 0; n < CLIENTS; n++) {
        clients.push(await (await broker.connect(`spread-${n}`)).subscribe("spread/+", 1));
    }
    const publishing = [];
    for (let round = 0; round < MESSAGES; round++) {
        clients.forEach((client, n) => publishing.push(client.publish(`spread/${n}`, `${n} ${round}`)));
    }
    const due = [...Array(MESSAGES).keys()];
    for (const client of clients) {
        const came = (await client.payloads(MESSAGES * CLIENTS)).map((payload) => payload.split(" ").map(Number));
        for (let n = 0; n < CLIENTS; n++) {
            const rounds = came.filter(([publisher]) => publisher === n).map(([, round]) => round);
            expect(rounds, due, `client ${n} as everybody hears it`);
        }
    }
    await Promise.all(publishing);
});
