// A shared subscription: each message goes to one member, and every member has work.

import { expect, run } from "./scenario.mjs";

const MEMBERS = 4;
const MESSAGES = 200;

await run(async (broker) => {
    const members = [];
    for (let n = 0; n < MEMBERS; n++) {
        const member = await broker.connect(`shared-member-${n}`);
        members.push(await member.subscribe("$share/group/work/#", 1));
    }
    const publisher = await broker.connect("shared-publisher");
    let wake;
    const came = members.map(() => []);
    const all = new Promise((resolve) => (wake = resolve));
    members.forEach((member, n) =>
        member.js.on("message", (_topic, payload) => {
            came[n].push(Number(payload.toString()));
            if (came.flat().length === MESSAGES) wake();
        }),
    );
    const due = [...Array(MESSAGES).keys()];
    await Promise.all(due.map((n) => publisher.publish(`work/${n % 7}`, `${n}`)));
    await Promise.race([all, publisher.message(`${MESSAGES} messages to the group`)]);
    expect(came.flat().sort((a, b) => a - b), due, "what the group got");
    const shares = came.map((of) => of.length);
    expect(Math.min(...shares) > 0, true, `whether every member has work (${shares})`);
});
