// The page's session with the gateway, and the badge that shows what it runs on and why.

import { bincode, connect, polling, sse, webSocket, webTransport } from './client.js';
import { element } from './stage.js';

const NAMES = { webtransport: 'WebTransport', websocket: 'WebSocket', sse: 'Event stream', polling: 'Polling' };

/** Connects as a host or as a player. The secret is the tab's, so whoever loads the page again is who they were. */
export function enter(role) {
  const secret = (sessionStorage[`quiz:secret:${role}`] ??= drawn());
  return connect('/', {
    transports: [webTransport(), webSocket(), sse(), polling()],
    codec: bincode(),
    auth: () => `${role}.${secret}`,
    name: `quiz-${role}`,
    client: { name: `quiz-${role}`, version: '1' },
  });
}

/** A text that nobody guesses. */
export function drawn() {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_');
}

/** Keeps a badge (a `details`) true: which transport, since when it is lost, and what was tried when it is opened. */
export function badge(details, session) {
  const label = details.querySelector('[data-label]');
  const why = details.querySelector('[data-why]');
  const attempts = details.querySelector('[data-attempts]');
  const show = () => {
    const { state } = session;
    details.dataset.state = state.name;
    details.dataset.transport = state.transport ?? '';
    label.textContent = said(state);
    if (!details.open) return;
    const explanation = session.explain();
    why.textContent = String(explanation);
    attempts.replaceChildren(
      ...explanation.attempts.slice(-6).map(({ transport, outcome, reason, tookMs, agoMs }) =>
        element('li', {}, `${NAMES[transport] ?? transport}: ${outcome}`, element('small', {},
          `${reason === outcome ? '' : `${reason}, `}${Math.round(tookMs)} ms, ${Math.round(agoMs / 1000)} s ago`)),
      ),
    );
  };
  session.on('state', show);
  details.addEventListener('toggle', show);
  setInterval(show, 1000);
  show();
}

function said(state) {
  switch (state.name) {
    case 'live':
      return NAMES[state.transport] ?? state.transport;
    case 'connecting':
      return 'Connecting';
    case 'closed':
      return 'Closed';
    default: {
      const seconds = state.retryAt && Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
      return seconds ? `Reconnecting in ${seconds} s` : 'Reconnecting';
    }
  }
}
