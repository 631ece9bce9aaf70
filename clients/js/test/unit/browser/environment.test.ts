/** What becomes of a page, and what a session is told of it. */

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { type Environment, type Platform, type Told, attend, platform } from '../../../src/browser/environment.js';
import { FakeClock, FakePage, idle } from './fakes.js';

let clock: FakeClock;
let page: FakePage;
let told: string[];

const listener: Told = {
  hidden: (isHidden) => told.push(isHidden ? 'hidden' : 'seen'),
  offline: () => told.push('offline'),
  networkChanged: () => told.push('network changed'),
  frozen: () => told.push('frozen'),
  left: () => told.push('left'),
  cameBack: (isOnline) => told.push(isOnline ? 'came back' : 'came back offline'),
};

beforeEach(() => {
  clock = new FakeClock();
  page = new FakePage();
  told = [];
});

function watch(address = 'http://a.example/', globals: Platform = page): () => void {
  return platform(clock, globals).watch(new URL(address), listener);
}

describe('a hidden page', () => {
  test('has few connections where the gateway is called by http, until an answer came over another protocol', () => {
    watch();
    page.hide(true);
    page.hide(true);
    assert.deepEqual(told, ['hidden']);
    page.answered('http://a.example/v1/poll', '');
    assert.deepEqual(told, ['hidden'], 'nothing was said');
    page.answered('http://a.example/v1/poll', 'h2');
    assert.deepEqual(told, ['hidden', 'seen']);
    page.answered('http://a.example/v1/poll', 'http/1.1');
    page.hide(false);
    assert.deepEqual(told, ['hidden', 'seen', 'hidden', 'seen']);
  });

  test('has many where it is called by https, until an answer came over HTTP/1.1', () => {
    watch('https://a.example/live/');
    page.hide(true);
    page.answered('https://a.example/live/v1/poll', '');
    page.answered('https://a.example/live/logo.png', 'http/1.1');
    page.answered('https://b.example/v1/poll', 'http/1.1');
    assert.deepEqual(told, []);
    page.answered('https://a.example/live/v1/poll', 'http/1.1');
    assert.deepEqual(told, ['hidden']);
  });

  test('is told of at once when it is hidden from the start', () => {
    page.document.hidden = true;
    watch();
    assert.deepEqual(told, ['hidden']);
  });
});

describe('the network', () => {
  test('is told to be away, and to be another one when it is back', () => {
    watch();
    page.tell('offline');
    page.tell('online');
    assert.deepEqual(told, ['offline', 'network changed']);
  });

  test('is told to be away at once where it is so from the start', () => {
    page.navigator.onLine = false;
    watch();
    assert.deepEqual(told, ['offline']);
  });

  test('is another one where its kind changes, and not where its speed does', () => {
    watch();
    const { connection } = page.navigator;
    connection.dispatchEvent(new Event('change'));
    assert.deepEqual(told, []);
    connection.type = 'cellular';
    connection.dispatchEvent(new Event('change'));
    connection.dispatchEvent(new Event('change'));
    assert.deepEqual(told, ['network changed']);
  });
});

describe('a gateway on the page\'s own machine', () => {
  for (const address of ['http://127.0.0.1:7080/', 'http://localhost/live/', 'http://[::1]/']) {
    test(`is reached without a network at ${address}, unless it goes away meanwhile`, () => {
      page.navigator.onLine = false;
      watch(address);
      assert.deepEqual(told, []);
      page.tell('offline');
      assert.deepEqual(told, ['offline']);
    });
  }
});

describe('a page that is offline', () => {
  test('stays so whatever else happens to it', () => {
    watch('https://a.example/');
    page.navigator.onLine = false;
    page.tell('offline');
    page.navigator.connection.type = 'none';
    page.navigator.connection.dispatchEvent(new Event('change'));
    clock.sleep(60_000);
    clock.advance(10_000);
    page.document.dispatchEvent(new Event('resume'));
    assert.deepEqual(told, ['offline', 'offline', 'offline', 'offline']);
    page.tell('pagehide', true);
    page.tell('pageshow', true);
    assert.deepEqual(told.slice(4), ['left', 'frozen', 'came back offline']);
  });
});

describe('the page cache', () => {
  test('freezes a page that goes into it, and the page comes back when it is shown', () => {
    watch();
    page.tell('pagehide', true);
    page.hide(true);
    page.document.dispatchEvent(new Event('freeze'));
    clock.sleep(600_000);
    page.document.dispatchEvent(new Event('resume'));
    page.hide(false);
    assert.deepEqual(told, ['left', 'frozen', 'hidden', 'seen'], 'not before it is shown');
    page.tell('pageshow', true);
    assert.deepEqual(told.slice(4), ['came back']);
    clock.advance(60_000);
    assert.equal(told.length, 5, 'it is no sleep');
  });

  test('may show a page before it says that it is seen', () => {
    watch('https://a.example/');
    page.tell('pagehide', true);
    page.hide(true);
    clock.sleep(600_000);
    page.tell('pageshow', true);
    page.hide(false);
    assert.deepEqual(told, ['left', 'frozen', 'came back']);
  });

  test('is not where a page goes that is left for good, and nothing is told when a page is first shown', () => {
    watch();
    page.tell('pageshow', false);
    page.tell('pagehide', false);
    assert.deepEqual(told, ['left']);
  });

  test('is not where a hidden tab freezes: it goes on where it stands', () => {
    watch('https://a.example/');
    page.document.dispatchEvent(new Event('freeze'));
    page.document.dispatchEvent(new Event('resume'));
    assert.deepEqual(told, ['frozen', 'network changed']);
  });
});

describe('sleep', () => {
  test('is a timer that comes much too late', () => {
    watch();
    clock.advance(60_000);
    clock.sleep(4_000);
    clock.advance(20_000);
    assert.deepEqual(told, [], 'a page may be busy');
    clock.sleep(6_000);
    clock.advance(10_000);
    assert.deepEqual(told, ['network changed']);
    clock.advance(60_000);
    assert.equal(told.length, 1, 'once');
  });

  test('is not the minute between two timers of a hidden page', () => {
    watch('https://a.example/');
    page.hide(true);
    clock.sleep(60_000);
    clock.advance(10_000);
    assert.deepEqual(told, []);
    clock.sleep(76_000);
    clock.advance(10_000);
    assert.deepEqual(told, ['network changed']);
  });

  test('is found when the page is seen again, without waiting for the timer', () => {
    watch('https://a.example/');
    page.hide(true);
    clock.sleep(3_600_000);
    page.hide(false);
    assert.deepEqual(told, ['network changed']);
  });
});

describe('platforms', () => {
  test('a worker hears of the network alone', () => {
    const worker = Object.assign(new EventTarget(), { navigator: { onLine: true } });
    const stop = watch('http://a.example/', worker);
    worker.dispatchEvent(new Event('offline'));
    worker.dispatchEvent(new Event('online'));
    assert.deepEqual(told, ['offline', 'network changed']);
    stop();
    assert.equal(clock.timers, 0);
  });

  test('Node hears of nothing, and no timer keeps it', () => {
    platform(clock).watch(new URL('http://a.example/'), listener)();
    platform(clock).watch(new URL('http://a.example/'), listener);
    assert.equal(clock.timers, 0);
  });

  test('whoever stops hears nothing any more', () => {
    watch()();
    page.tell('offline');
    page.hide(true);
    page.answered('http://a.example/v1/poll', 'http/1.1');
    page.tell('pagehide', true);
    clock.sleep(60_000);
    clock.advance(60_000);
    assert.deepEqual([told, clock.timers], [[], 0]);
  });
});

describe('a session', () => {
  test('is told by its core, and comes back only when it is known whether it is still its own', async () => {
    const calls: string[] = [];
    let tell: Told | undefined;
    let stopped = false;
    const environment: Environment = {
      watch: (_, told) => {
        tell = told;
        return () => (stopped = true);
      },
    };
    let isBack: (isOwn: boolean) => void = () => {};
    const keeper = {
      leave: () => calls.push('leave'),
      comeBack: () => new Promise<boolean>((resolve) => (isBack = resolve)),
    };
    const stop = attend(environment, new URL('http://a.example/'), keeper, {
      change: (...change: readonly unknown[]) => void calls.push(change.join(' ')),
      wake: () => void calls.push('wake'),
    });
    assert.ok(tell);
    tell.hidden(true);
    tell.offline();
    tell.networkChanged();
    tell.left();
    tell.frozen();
    assert.deepEqual(calls, ['handleHidden true', 'handleOffline', 'handleNetworkChanged', 'leave', 'wake', 'handleFrozen'], 'what waits goes out when the page is left');
    tell.cameBack(false);
    isBack(true);
    await idle();
    assert.equal(calls.length, 6, 'there is no network');
    tell.cameBack(true);
    await idle();
    assert.equal(calls.length, 6);
    isBack(false);
    await idle();
    assert.deepEqual(calls.slice(6), ['handleDisowned', 'handleNetworkChanged'], 'it went on elsewhere');
    stop();
    assert.equal(stopped, true);
  });
});
