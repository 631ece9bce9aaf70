/**
 * For tests of applications (`throughline-client/testing`): a clock that goes on when it is told to, and a gateway in
 * memory that speaks the protocol's frames. docs/clients/js.md, Testing your own code.
 */

export { ManualClock } from './testing/clock.js';
export { FakeGateway } from './testing/gateway.js';
export type { Admitted, FakeGatewayOptions, Handler, PublishOptions, ReceivedIntent, Refusal } from './testing/options.js';
