//! C1-C10: commands are taken one by one, each once.

use throughline::session::Ending;
use throughline_wire::{ErrorCode, UpFrame, frame::Limits};

use super::bench::*;

/// Opened by a WebSocket that has read all there is.
fn on_a_stream() -> (World, throughline::session::LinkId) {
    let (mut world, stream) = World::open(websocket(1));
    world.prove_after_reading(stream);
    (world, stream)
}

#[test]
fn c1_a_command_whose_forerunner_was_lost_waits_for_it() {
    let (mut world, stream) = on_a_stream();
    // 1. The post with 1 is lost. 2. The post with 2 arrives.
    world.say(stream, commands(2, [send()])).unwrap();
    assert_eq!(world.sent, Vec::<u64>::new());
    assert_eq!(world.read(stream), ["ack 0"], "what was taken, not what was seen");
    world.say(stream, commands(1, [send()])).unwrap();
    assert_eq!(world.sent, [1, 2]);
    assert_eq!(world.read(stream), ["ack 2"]);
}

#[test]
fn c1_a_batch_is_taken_from_where_it_is_news() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [send(), send()])).unwrap();
    world.say(stream, commands(2, [send(), send()])).unwrap();
    assert_eq!(world.sent, [1, 2, 3]);
}

#[test]
fn c1_what_runs_further_ahead_than_the_window_is_refused_and_can_be_sent_again() {
    let limits = Limits { commands_ahead: 2, ..Limits::default() };
    let (mut world, stream) = World::open_with(|config| config.limits = limits, websocket(1));
    world.prove_after_reading(stream);
    assert_eq!(world.say(stream, commands(3, [send()])), Err(ErrorCode::CommandsAhead));
    assert_eq!(world.read(stream), ["error commands_ahead", "ack 0"]);
    world.say(stream, commands(1, [send(), send()])).unwrap();
    world.reply(1);
    world.say(stream, commands(3, [send()])).unwrap();
    assert_eq!(world.sent, [1, 2, 3]);
}

#[test]
fn c1_what_is_held_ahead_is_held_once() {
    let (mut world, stream) = on_a_stream();
    for _ in 0..3 {
        world.say(stream, commands(2, [send(), send()])).unwrap();
    }
    world.say(stream, commands(1, [noop()])).unwrap();
    assert_eq!(world.sent, [2, 3]);
    assert_eq!(world.session().received(), 3);
}

#[test]
fn c2_a_rebuilt_session_takes_all_commands_from_low_again() {
    let (mut world, link) = World::open(poll(1).saying(commands(1, [subscribe("a")])));
    assert_eq!(world.items(link), ["1 subscribed a e1:0"]);
    // Command 2 is taken and acknowledged; its result is not numbered yet when the session is rebuilt.
    world.hold = true;
    let link = world.come(poll(2).after(1).low(2).saying(commands(2, [subscribe("b")])));
    assert_eq!(world.read(link), ["ack 2"]);
    world.hold = false;
    let again = poll(3).after(1).low(2).incarnation(9).at([("a", "e1:0")]);
    let link = world.come(again.saying(commands(2, [subscribe("b"), send()])));
    assert_eq!(world.session().received(), 3);
    assert_eq!(
        world.read(link),
        ["welcome back 2 next 2 received 3", "2 subscribed a e1:0", "3 subscribed b e1:0", "ack 3"]
    );
    assert_eq!(world.sent, [3]);
}

#[test]
fn c2_a_rebuilt_session_does_not_wait_for_commands_whose_reply_is_known() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [send(), send(), send()])).unwrap();
    world.reply(1);
    world.reply(2);
    world.reply(3);
    assert_eq!(world.items(stream), ["1 reply 1 ok", "2 reply 2 ok", "3 reply 3 ok"]);
    world.come(websocket(2).after(3).low(4).incarnation(9).at([]).saying(commands(4, [send()])));
    assert_eq!((world.session().received(), &world.sent[..]), (4, &[1, 2, 3, 4][..]));
}

#[test]
fn c2_a_noop_fills_the_number_of_a_reply_that_is_known() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [send(), send()])).unwrap();
    world.reply(2); // and the reply to 1 is still to come
    assert_eq!(world.items(stream), ["1 reply 2 ok"]);
    let resume = websocket(2).after(1).low(1).incarnation(9).at([]);
    let stream = world.come(resume.saying(commands(1, [send(), noop(), send()])));
    assert_eq!(world.sent, [1, 2, 3]);
    world.reply(1);
    world.reply(3);
    assert_eq!(world.items(stream), ["2 reply 1 ok", "3 reply 3 ok"]);
}

#[test]
fn c2_a_reply_that_comes_before_its_command_waits_to_be_wanted() {
    for known in [false, true] {
        let (mut world, stream) = on_a_stream();
        world.say(stream, commands(1, [send()])).unwrap();
        world.cut(stream);
        let stream = world.come(websocket(2).after(0).low(1).incarnation(9).at([]));
        world.reply(1);
        assert!(world.items(stream).is_empty());
        world.say(stream, commands(1, [if known { noop() } else { send() }])).unwrap();
        assert_eq!(world.items(stream), if known { vec![] } else { vec!["1 reply 1 ok"] });
        assert_eq!(world.sent, [1]);
    }
}

#[test]
fn c3_a_send_is_applied_once_although_a_rebuilt_session_takes_it_again() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [send()])).unwrap();
    world.reply(1);
    assert_eq!(world.items(stream), ["1 reply 1 ok"]);
    // The reply is lost with its link, and the session is rebuilt.
    world.cut(stream);
    let resume = websocket(2).after(0).low(1).incarnation(9).at([]);
    let stream = world.come(resume.saying(commands(1, [send()])));
    assert_eq!(world.items(stream), ["1 reply 1 ok"], "the reply that was owed, once");
    assert_eq!(world.sent, [1]);
}

#[test]
fn c3_a_send_that_is_being_applied_is_not_begun_again() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [send()])).unwrap();
    world.cut(stream);
    let resume = websocket(2).after(0).low(1).incarnation(9).at([]);
    let stream = world.come(resume.saying(commands(1, [send()])));
    assert!(world.items(stream).is_empty());
    world.reply(1);
    assert_eq!(world.items(stream), ["1 reply 1 ok"]);
    assert_eq!(world.sent, [1]);
}

#[test]
fn c3_a_send_whose_reply_is_gone_is_answered_as_a_duplicate() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [send()])).unwrap();
    world.reply(1);
    world.items(stream);
    world.ack(stream, 1);
    // A copy of the page has an older state and sends the command again.
    let copy = websocket(2).after(0).low(1).of("copy").at([]);
    let stream = world.come(copy.saying(commands(1, [send()])));
    assert_eq!(world.items(stream), [r#"1 reply 1 {"duplicate":true}"#]);
    assert_eq!(world.sent, [1]);
}

#[test]
fn c4_what_is_held_ahead_is_not_acknowledged() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [send()])).unwrap();
    world.say(stream, commands(3, [send()])).unwrap();
    assert_eq!(world.read(stream), ["ack 1"]);
    // It is not taken over into another incarnation either, where numbers may mean other commands.
    let stream = world.come(websocket(2).after(0).low(2).incarnation(9).at([]));
    assert_eq!(world.session().received(), 1);
    world.say(stream, commands(2, [noop()])).unwrap();
    assert_eq!(world.sent, [1], "2 was a noop, and 3 is not held any more");
}

#[test]
fn c5_the_message_that_opens_a_session_carries_no_send() {
    let (mut world, link) = World::open(poll(1).saying(commands(1, [subscribe("a"), send()])));
    assert_eq!(
        world.read(link),
        ["welcome new 1 next 1 received 0", "error send_in_opening", "ack 0"],
        "and none of its commands is taken"
    );
    assert_eq!(world.sent, Vec::<u64>::new());
    world.come(poll(2).saying(commands(1, [subscribe("a"), send()])));
    assert_eq!(world.sent, [2]);
}

#[test]
fn c5_an_opening_that_was_repeated_leaves_one_session() {
    // 1. An opening poll. 2. A proxy repeats it: two sessions, each subscribed.
    let opening = || poll(1).saying(commands(1, [subscribe("a")]));
    let (mut world, first) = World::open(opening());
    world.read(first);
    assert!(world.session().is_provisional());
    let (_lost, second) = world.open_another(opening());
    assert_eq!(world.items(second), ["1 subscribed a e1:0"]);
    // 3. Only the answer of the second comes back.
    world.come(poll(2).after(1));
    assert_eq!((world.established, world.ended), (1, None));
}

#[test]
fn c5_a_session_whose_token_does_not_come_back_is_gone_after_ten_seconds_without_a_word() {
    let (mut world, link) = World::open(poll(1).saying(commands(1, [subscribe("a")])));
    world.read(link);
    world.wait(9_999);
    assert_eq!(world.ended, None);
    world.wait(1);
    assert_eq!((world.established, world.ended), (0, Some(Ending::Provisional)));
}

#[test]
fn c5_a_stream_opens_a_session_for_good_by_what_only_its_client_can_say() {
    let (mut world, stream) = World::open(websocket(1));
    world.read(stream);
    assert!(world.session().is_provisional());
    world.prove(stream);
    assert!(!world.session().is_provisional());
    assert_eq!(world.established, 1);

    let (mut world, stream) = World::open(sse(1).saying(commands(1, [subscribe("a")])));
    world.read(stream);
    assert!(world.session().is_provisional());
    world.ack(stream, 1);
    assert!(!world.session().is_provisional());
}

#[test]
fn c7_commands_behind_a_poll_whose_resume_failed_are_dropped() {
    // 1. A poll brings command 1 to an expired session. 2. The new session must not take it as its own 1.
    let late = poll(7).after(4).saying(commands(1, [subscribe("a")]));
    let (mut world, link) = World::open(late.instead(ErrorCode::SessionUnknown));
    assert_eq!(world.read(link), ["welcome new 1 next 1 received 0 session_unknown"]);
    assert!(world.authorised.is_empty());
    // 3. The client numbers its next command 1.
    world.come(poll(8).saying(commands(1, [send()])));
    assert_eq!(world.sent, [1]);
}

#[test]
fn c7_commands_behind_a_stream_whose_resume_failed_are_dropped_until_it_is_proven() {
    let late = websocket(7).after(4).saying(commands(1, [subscribe("a")]));
    let (mut world, stream) = World::open(late.instead(ErrorCode::SessionUnknown));
    world.say(stream, commands(1, [send()])).unwrap(); // written before the welcome was read
    assert_eq!((world.session().received(), &world.sent[..]), (0, &[][..]));
    world.read(stream);
    world.prove(stream);
    world.say(stream, commands(1, [send()])).unwrap();
    assert_eq!(world.sent, [1]);
}

#[test]
fn c7_an_acknowledgement_behind_a_resume_that_failed_counts_in_the_session_that_was_not_had() {
    let late = websocket(7).after(4).at([("a", "e1:0")]);
    let (mut world, _) = World::open(poll(1));
    world.publish("a", 9);
    let (_, stream) = world.open_another(late.instead(ErrorCode::SessionUnknown));
    assert_eq!(world.items(stream).len(), 10);
    // An item of the old session arrived elsewhere meanwhile, and was acknowledged before the welcome was read.
    world.ack(stream, 5);
    let with_commands = throughline_wire::frame::Commands { first: 3, items: vec![], ack: Some(5) };
    world.say(stream, UpFrame::Commands(with_commands)).unwrap();
    assert_eq!(world.session().acknowledged(), 0);
    world.prove(stream);
    world.ack(stream, 5);
    assert_eq!(world.session().acknowledged(), 5);
}

#[test]
fn c9_a_poll_with_commands_is_answered_at_once() {
    let (mut world, link) = World::open(poll(1));
    world.read(link);
    let link = world.come(poll(2).saying(commands(1, [send()])));
    assert_eq!(world.read(link), ["ack 1"]);
    let link = world.come(poll(3).saying(commands(1, [send()])));
    assert_eq!(world.read(link), ["ack 1"], "also one that is seen already");
    assert_eq!(world.sent, [1]);
}

#[test]
fn c9_an_acknowledgement_travels_without_items() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [send()])).unwrap();
    assert_eq!(world.read(stream), ["ack 1"]);
}

#[test]
fn c9_an_acknowledgement_travels_with_items_where_there_are_any() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [subscribe("a")])).unwrap();
    assert_eq!(world.read(stream), ["1 subscribed a e1:0", "ack 1"]);
}

#[test]
fn c10_sends_are_handed_out_in_their_order_however_they_arrive() {
    let (mut world, stream) = on_a_stream();
    for number in [5, 3, 2, 4, 1] {
        world.say(stream, commands(number, [send()])).unwrap();
    }
    assert_eq!(world.sent, [1, 2, 3, 4, 5]);
}

#[test]
fn an_unknown_command_takes_its_number_and_is_answered() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [unsubscribe("a"), send()])).unwrap();
    world.reply(2);
    assert_eq!(world.items(stream), ["1 reply 1 not_subscribed", "2 reply 2 ok"]);
}

#[test]
fn a_reply_to_nothing_is_no_item() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [send()])).unwrap();
    world.reply(1);
    world.reply(1);
    world.reply(7);
    assert_eq!(world.items(stream), ["1 reply 1 ok"]);
}

#[test]
fn a_command_number_beyond_the_bound_is_refused() {
    let (mut world, stream) = on_a_stream();
    let last = throughline_wire::MAX_INTEGER;
    assert_eq!(world.say(stream, commands(last, [send()])), Err(ErrorCode::NumberOutOfRange));
    assert_eq!(world.say(stream, commands(0, [send()])), Err(ErrorCode::NumberOutOfRange));
    assert_eq!(world.sent, Vec::<u64>::new());
}

#[test]
fn a_second_hello_ends_its_link_and_not_the_session() {
    let (mut world, stream) = on_a_stream();
    let again = throughline_wire::frame::Hello { instance: "page".into(), ..Default::default() };
    assert_eq!(world.say(stream, UpFrame::Hello(Box::new(again))), Err(ErrorCode::HelloRepeated));
    assert_eq!(world.read(stream).last().unwrap(), "close protocol_error");
    let poll = world.come(poll(2).saying(commands(1, [send()])));
    assert_eq!(world.read(poll), ["ack 1"]);
}

#[test]
fn c2_replies_that_are_never_taken_again_are_bounded() {
    let (mut world, _) = World::open_with(|config| config.reserve_items = 4, websocket(1));
    // Each rebuild states lower numbers than the last, so that every reply of before is still owed.
    for attach in 2..100 {
        let low = 1_000 - 4 * attach;
        let stream = world.come(websocket(attach).after(0).low(low).incarnation(999).at([]));
        world.prove(stream);
        world.say(stream, commands(low, [(); 4].map(|()| unsubscribe("a")))).unwrap();
        assert_eq!(world.session().received(), low + 3, "none is stuck");
    }
    assert!(world.session().journal_bytes() < 8_192, "{}", world.session().journal_bytes());
}
