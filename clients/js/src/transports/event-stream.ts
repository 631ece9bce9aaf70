/** Server-sent events (the HTML standard, section 9.2), as far as this protocol uses them: their data. */

import { TOO_LARGE, fail } from '../codec/fault.js';
import { FRAME_BYTES } from '../codec/text.js';

/** Takes text as it comes, cut anywhere, and gives the data of each event that it completes. Throws at one too large. */
export function eventStream(): (text: string) => string[] {
  let line = '';
  let data: string | undefined;
  let endedWithCr = false;
  return (text) => {
    if (endedWithCr && text.startsWith('\n')) text = text.slice(1);
    if (text) endedWithCr = text.endsWith('\r');
    const [rest = '', ...others] = text.split(/\r\n|[\r\n]/);
    const events: string[] = [];
    line += rest;
    for (const next of others) {
      if (!line && data) events.push(data);
      if (!line) data = undefined;
      // Everything else (comments, ids, advice) makes no event.
      const [isData, value = ''] = /^data(?:: ?(.*))?$/s.exec(line) ?? [];
      if (isData) data = data === undefined ? value : `${data}\n${value}`;
      line = next;
    }
    if (line.length + (data ?? '').length > FRAME_BYTES + SLACK) fail(TOO_LARGE, 'event');
    return events;
  };
}

/** Room for what a line has beside its data. */
const SLACK = 16;
