//! The UDP proxy does to flows what the tests rely on.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::support::fault_plan::{Fault, Plan};
use super::support::udp_proxy::{Noise, UdpFaultProxy};

/// Both ends of one flow through the proxy.
struct Flow {
    proxy: UdpFaultProxy,
    client: UdpSocket,
    gateway: UdpSocket,
    /// The client, as the gateway knows it.
    known_as: SocketAddr,
}

impl Flow {
    /// Joins both by a first datagram of one byte.
    async fn join(plan: Plan, noise: Noise) -> Self {
        let gateway = socket().await;
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let at = gateway.local_addr().expect("bound");
        let proxy = UdpFaultProxy::start_at(any, at, plan, noise).await.expect("a free port");
        let client = socket().await;
        client.connect(proxy.address()).await.expect("it is an address");
        client.send(&[0]).await.expect("sent");
        let (_, known_as) = gateway.recv_from(&mut [0; 9]).await.expect("received");
        Self { proxy, client, gateway, known_as }
    }

    async fn say_up(&self, byte: u8) {
        self.client.send(&[byte; 10]).await.expect("sent");
    }

    async fn say_down(&self, byte: u8) {
        self.gateway.send_to(&[byte; 10], self.known_as).await.expect("sent");
    }

    async fn heard_up(&self) -> u8 {
        let mut heard = [0; 10];
        self.gateway.recv(&mut heard).await.expect("received");
        heard[0]
    }

    async fn heard_down(&self) -> u8 {
        let mut heard = [0; 10];
        self.client.recv(&mut heard).await.expect("received");
        heard[0]
    }
}

async fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port")
}

#[tokio::test]
async fn a_flow_without_a_fate_passes_datagrams_both_ways_and_each_client_has_its_own() {
    let flow = Flow::join(Plan::peaceful(), Noise::default()).await;
    flow.say_up(1).await;
    flow.say_down(2).await;
    assert_eq!((flow.heard_up().await, flow.heard_down().await), (1, 2));
    let other = socket().await;
    other.send_to(&[3], flow.proxy.address()).await.expect("sent");
    let (_, known_as) = flow.gateway.recv_from(&mut [0; 9]).await.expect("received");
    assert_ne!(known_as, flow.known_as);
    assert_eq!(flow.proxy.counters().flows, 2);
}

#[tokio::test]
async fn the_datagram_that_is_too_much_is_withheld_whole_and_cuts_the_flow() {
    let plan = Plan { cut_after_bytes: 15..=15, counted_up_percent: 0, ..Plan::cutting(1) };
    let flow = Flow::join(plan, Noise::default()).await;
    flow.say_down(1).await;
    assert_eq!(flow.heard_down().await, 1);
    assert_eq!(flow.proxy.counters().cuts, 0);
    flow.say_down(2).await;
    let counters = flow.proxy.until(|counters| counters.cuts == 1).await;
    assert_eq!(counters.down, 1);
}

#[tokio::test]
async fn of_a_flow_that_is_cut_passes_what_the_fault_lets_pass() {
    for (fault, up, down, told) in [
        (Fault::Reset, true, false, 1),
        (Fault::Close, true, false, 1),
        (Fault::ClientGone, false, false, 1),
        (Fault::GatewayGone, false, true, 0),
        (Fault::Forgotten, false, false, 0),
    ] {
        let plan = Plan { half_open_for: Duration::from_secs(3_600), ..Plan::peaceful() };
        let flow = Flow::join(plan, Noise::default()).await;
        assert_eq!(flow.proxy.cut_all(fault), 1);
        assert_eq!(flow.proxy.cut_all(fault), 0, "once is enough");
        flow.say_up(1).await;
        flow.say_down(2).await;
        if up {
            assert_eq!(flow.heard_up().await, 1);
        }
        if down {
            assert_eq!(flow.heard_down().await, 2);
        }
        let withheld = (u64::from(!up), u64::from(!down));
        let counters =
            flow.proxy.until(|counters| (counters.withheld_up, counters.withheld_down) == withheld).await;
        assert_eq!((counters.told, counters.half_open), (told, u64::from(fault.is_half_open())), "{fault:?}");
    }
}

#[tokio::test]
async fn some_time_after_its_cut_a_flow_is_over_for_both() {
    let plan = Plan { half_open_for: Duration::ZERO, ..Plan::peaceful() };
    let flow = Flow::join(plan, Noise::default()).await;
    flow.proxy.cut_all(Fault::Reset);
    // Once the proxy has let go of the flow's socket, its port can be had.
    while UdpSocket::bind(flow.known_as).await.is_err() {
        tokio::task::yield_now().await;
    }
    flow.say_up(1).await;
    let other = socket().await;
    other.send_to(&[2; 10], flow.proxy.address()).await.expect("sent");
    assert_eq!(flow.heard_up().await, 2, "what the first said before is not heard");
}

#[tokio::test]
async fn a_flow_that_is_swallowed_goes_on_up() {
    let flow = Flow::join(Plan::peaceful(), Noise::default()).await;
    assert!(!flow.proxy.swallow(flow.proxy.address()), "that is no flow's");
    assert!(flow.proxy.swallow(flow.known_as));
    flow.say_down(1).await;
    flow.proxy.until(|counters| counters.withheld_down == 1).await;
    flow.say_up(2).await;
    assert_eq!(flow.heard_up().await, 2);
    assert_eq!(flow.proxy.counters().cuts, 0);
}

#[tokio::test]
async fn what_is_blocked_vanishes_and_what_comes_after_the_healing_passes() {
    let flow = Flow::join(Plan::peaceful(), Noise::default()).await;
    flow.proxy.block();
    flow.say_up(1).await;
    flow.say_down(2).await;
    flow.proxy.until(|counters| (counters.withheld_up, counters.withheld_down) == (1, 1)).await;
    flow.proxy.heal();
    flow.say_up(3).await;
    flow.say_down(4).await;
    assert_eq!((flow.heard_up().await, flow.heard_down().await), (3, 4));
}

#[tokio::test]
async fn noise_loses_and_doubles_as_often_as_it_says() {
    let flow = Flow::join(Plan::peaceful(), Noise { lost: 100, ..Noise::default() }).await;
    for _ in 0..200 {
        flow.say_down(1).await;
    }
    let counters = flow.proxy.until(|counters| counters.down + counters.noise == 200).await;
    assert!((5..50).contains(&counters.noise), "{} of 200 are lost", counters.noise);

    let flow = Flow::join(Plan::peaceful(), Noise { doubled: 200, ..Noise::default() }).await;
    for _ in 0..100 {
        flow.say_down(1).await;
    }
    let counters = flow.proxy.until(|counters| counters.down == 100 + counters.noise).await;
    assert!((8..40).contains(&counters.noise), "{} of 100 arrive twice", counters.noise);
}

#[tokio::test]
async fn noise_lets_datagrams_overtake_and_loses_none_by_it() {
    let flow = Flow::join(Plan::peaceful(), Noise { late: 500, ..Noise::default() }).await;
    let mut heard = Vec::new();
    for number in 0..200 {
        flow.say_down(number).await;
    }
    for _ in 0..200 {
        heard.push(flow.heard_down().await);
    }
    assert!(!heard.is_sorted(), "some were overtaken");
    heard.sort_unstable();
    assert_eq!(heard, (0..200).collect::<Vec<_>>(), "and none was lost");
}
