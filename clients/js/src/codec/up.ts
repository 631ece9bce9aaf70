/**
 * The tables of what goes up, for a codec that has to know an order. Text needs none: a sender may write any.
 *
 * Written as those in schema.ts. What goes up is trusted, so its bounds are not here; a list says `*1`.
 */

import { table } from './schema.js';

export const UP = /* @__PURE__ */ table(`hello version:i instance:t attach?:i auth?:t resume?:resume client?:client
  features~:t*1 slot?:t
attach number:i after:i
session token:t incarnation:i link:i
commands first:i items:command*1 ack?:i
ack upTo:i
auth token:t
volatile channel:c name?:t seq:i data?:d bytes?:b
tried transport:t outcome:t tookMs:i agoMs:i
ping nonce?:i
pong nonce?:i
bye`);

/** In the order of their numbers, which begin with 1. */
export const COMMANDS = /* @__PURE__ */ table(`subscribe channel:c from~:from token?:t presence~:f
unsubscribe channel:c
send channel:c name?:t id?:t meta~:m data?:d bytes?:b
noop`);

/** Objects that lie in others. */
export const PARTS = /* @__PURE__ */ table(`position epoch:e offset:i
resume token:t incarnation:i after:i low:i positions?:p
client name:t version:t`);
