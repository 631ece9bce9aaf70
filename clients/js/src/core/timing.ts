/** How long to wait for what. The defaults suit the open internet; docs/negotiation.md says what each is for. */

export interface Timing {
  /** For a connection to stand, TLS included. Default: 5,000. */
  readonly connectMs: number;
  /** For a `welcome` after the connection was begun. Default: 10,000. */
  readonly welcomeMs: number;
  /** How long the gateway holds a poll. Default: 25,000. */
  readonly pollHoldMs: number;
  /** How long a poll may take beyond that before another takes its place. Default: 1,000. */
  readonly pollGraceMs: number;
  /** How often a hidden page that may not hold its poll asks. Default: 20,000. */
  readonly hiddenPollMs: number;
  /** For the answer of a post, at most. Default: 10,000. */
  readonly postMs: number;
  /** How long something due may be missing before the link is asked for a sign of life. Default: 750. */
  readonly doubtMs: number;
  /** How long a link that was asked has before the session polls beside it. Default: 500. */
  readonly pongMs: number;
  /** How long an item may be unacknowledged. Default: 200. */
  readonly ackDelayMs: number;
  /** How far apart probes of better transports begin. Default: 250. */
  readonly staggerMs: number;
  /** How long a probe has for each of its steps. Default: 5,000. */
  readonly probeMs: number;
  /** How long what is remembered may be silent before a poll joins it. Default: 250. */
  readonly joinFirstMs: number;
  /** The same where a session comes back. Default: 1,000. */
  readonly joinBackMs: number;
  /** How long a transport that failed is left alone, doubled each time. Default: 5,000. */
  readonly reprobeMs: number;
  /** The longest that it is left alone. Default: 60,000. */
  readonly reprobeCapMs: number;
  /** How long a transport has to carry the session before its failures are forgotten. Default: 30,000. */
  readonly settledMs: number;
  /** For a goodbye to be said. Default: 1,000. */
  readonly goodbyeMs: number;
}

export const defaultTiming: Timing = {
  connectMs: 5_000,
  welcomeMs: 10_000,
  pollHoldMs: 25_000,
  pollGraceMs: 1_000,
  hiddenPollMs: 20_000,
  postMs: 10_000,
  doubtMs: 750,
  pongMs: 500,
  ackDelayMs: 200,
  staggerMs: 250,
  probeMs: 5_000,
  joinFirstMs: 250,
  joinBackMs: 1_000,
  reprobeMs: 5_000,
  reprobeCapMs: 60_000,
  settledMs: 30_000,
  goodbyeMs: 1_000,
};
