
// The bundle defines `throughline` for classic scripts; behind it, this makes a module of it.
export const { bincode, connect, optimistic, polling, sse, webSocket, webTransport } = throughline;
