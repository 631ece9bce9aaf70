//! A client that can only repeat a string: a plain `EventSource`, or `curl`.
//!
//! It acknowledges nothing and states nothing; it gives back the last tag that it saw. What it is promised is less than
//! a session's own client is, and still no silent gap.

use std::collections::BTreeMap;

use throughline_wire::{DownFrame, ErrorCode, Item};

use super::{
    coverage::{Coverage, Met},
    truth::Truth,
    view::View,
};

/// How many channels it asks for in its address.
pub(super) const CHANNELS: usize = 2;

/// A plain client.
#[derive(Default)]
pub(super) struct Plain {
    pub(super) conn: Option<usize>,
    /// The last tag that came.
    pub(super) tag: Option<String>,
    pub(super) views: BTreeMap<usize, View>,
    incarnation: u64,
    next: u64,
}

impl Plain {
    /// A frame came down whole.
    ///
    /// `may_miss` says that a last word on a channel may have slid out before it came.
    pub(super) fn hear(&mut self, frame: DownFrame, truth: &Truth, may_miss: bool, coverage: &mut Coverage) {
        match frame {
            DownFrame::Welcome(welcome) => {
                let is_same = welcome.resumed && welcome.incarnation == self.incarnation;
                assert!(
                    !is_same || welcome.next == self.next,
                    "goes on at {}, not {}",
                    self.next,
                    welcome.next
                );
                assert!(welcome.resumed || welcome.next == 1, "a new session begins at one");
                if !welcome.resumed && self.tag.as_ref().is_none_or(|tag| !tag.contains('/')) {
                    self.views.clear(); // nothing was stated: a new life, from now on
                }
                if !is_same {
                    self.views.values_mut().for_each(|view| view.is_confirmed = false);
                }
                (self.incarnation, self.next) = (welcome.incarnation, welcome.next);
            }
            DownFrame::Items(items) => {
                assert_eq!(items.first, self.next, "item numbers are dense");
                for item in items.items {
                    self.next += 1;
                    self.hear_item(&item, truth, may_miss, coverage);
                }
            }
            DownFrame::Ping { nonce, .. } => assert!(nonce.is_none(), "nobody can answer {nonce:?}"),
            // It sent no command that a reply could refuse: the reason stands beside `unsubscribed`.
            DownFrame::Error(error) => {
                let known = [ErrorCode::Forbidden, ErrorCode::TooManySubscriptions];
                assert!(known.contains(&error.code) && !error.fatal, "{error:?} to a plain client");
            }
            DownFrame::Ack { .. } | DownFrame::Retry(_) | DownFrame::Volatile(_) => {}
            other => panic!("the core says no {other:?} to a plain client"),
        }
    }

    fn hear_item(&mut self, item: &Item, truth: &Truth, may_miss: bool, coverage: &mut Coverage) {
        match item {
            Item::Event(event) => {
                let channel = truth.index(&event.channel);
                let view = self.views.get_mut(&channel);
                let view = view.unwrap_or_else(|| panic!("{item:?}: not subscribed"));
                view.event(&truth.channels[channel], event);
            }
            Item::Gap(gap) => {
                let channel = truth.index(gap.channel.as_ref().expect("a gap of a channel"));
                Met::gap(gap).into_iter().for_each(|met| coverage.met(met));
                let history = &truth.channels[channel];
                match self.views.get_mut(&channel) {
                    Some(view) => {
                        view.is_confirmed |= gap.from.is_none(); // L13: told instead of `subscribed`
                        view.gap(history, gap, &truth.behind);
                    }
                    None => {
                        assert!(gap.from.is_none(), "{gap:?}: not subscribed");
                        self.views.insert(channel, View::told(history, gap));
                    }
                }
            }
            Item::Subscribed(subscribed) => {
                let channel = truth.index(&subscribed.channel);
                let history = &truth.channels[channel];
                match self.views.get_mut(&channel) {
                    Some(view) if may_miss => *view = View::granted(history, subscribed),
                    Some(view) if view.is_confirmed => view.is_at(history, subscribed), // asked for again
                    Some(view)
                        if !subscribed.recovered && history.place(subscribed.position) > view.place =>
                    {
                        view.await_gap();
                    }
                    Some(view) => view.confirm(history, subscribed),
                    None => drop(self.views.insert(channel, View::granted(history, subscribed))),
                }
            }
            Item::Unsubscribed(unsubscribed) => {
                self.views.remove(&truth.index(&unsubscribed.channel));
            }
            Item::Reply(_) => panic!("{item:?}: it has no command"),
            Item::Presence(_) => panic!("{item:?}: nobody asked for it"),
            Item::Unknown => panic!("the core made an item that nobody knows"),
        }
    }
}
