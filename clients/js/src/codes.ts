/**
 * The codes of docs/protocol.md, in one place. A code that is not here is an error all the same: gateways grow.
 *
 * A close code that is not here is read by its range: 4000-4099 resume, 4100-4199 the session is gone, 4200-4299 new
 * credentials first, 4300-4399 stay away.
 */

/** How a gateway closes a stream, where no `retry` has said so (How it travels). */
export const closeCodes = {
  drain: 4000,
  overload: 4001,
  silence: 4002,
  positions: 4003,
  internal: 4004,
  session_gone: 4100,
  unauthorized: 4200,
  superseded: 4300,
  disconnected: 4301,
  forbidden: 4302,
} as const;

/** Every error code, and whether the same thing may succeed later, unchanged (Error codes). */
export const errorCodes = {
  malformed_frame: false,
  unknown_frame: false,
  duplicate_member: false,
  number_out_of_range: false,
  not_utf8: false,
  malformed_payload: false,
  payload_too_deep: false,
  lone_surrogate: false,
  message_too_large: false,
  invalid_channel: false,
  invalid_position: false,
  invalid_meta: false,
  unsupported_codec: false,
  unsupported: false,
  hello_required: false,
  hello_repeated: false,
  frame_not_allowed: false,
  send_in_opening: false,
  ack_out_of_range: false,
  incarnation_mismatch: true,
  session_ended: false,
  session_unknown: false,
  token_invalid: false,
  user_mismatch: false,
  unauthorized: false,
  ticket_invalid: false,
  ticket_expired: false,
  ticket_used: false,
  forbidden: false,
  origin_refused: false,
  reserved_channel: false,
  too_many_subscriptions: false,
  too_many_channels: true,
  too_many_links: true,
  too_many_sessions: true,
  too_many_connections: true,
  too_many_members: true,
  not_subscribed: false,
  commands_ahead: true,
  rate_limited: true,
  handler_failed: true,
  overloaded: true,
  shutting_down: true,
  timed_out: true,
  internal: true,
} as const;

/** What a `retry` may say (Retry). */
export type RetryReason = (typeof retryReasons)[number];

/** All of them. */
export const retryReasons = [
  'superseded',
  'positions',
  'drain',
  'overload',
  'silence',
  'protocol_error',
  'ended',
  'disconnected',
  'unauthorized',
  'forbidden',
  'internal',
] as const;

/** An error code of the gateway's own; applications have others. */
export type ErrorCode = keyof typeof errorCodes;

/** The name of a close code. */
export type CloseCodeName = keyof typeof closeCodes;
