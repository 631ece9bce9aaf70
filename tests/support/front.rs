//! The way to a gateway through both proxies: TCP and UDP on one port number, as a relative offer of WebTransport has it.

use std::net::SocketAddr;

use throughline_client::Session;
use tokio::task::JoinHandle;

use super::{
    fault_plan::{Fault, Plan},
    fault_proxy::FaultProxy,
    udp_proxy::{Noise, UdpFaultProxy},
};

/// Both proxies.
pub(crate) struct Front {
    pub(crate) tcp: FaultProxy,
    pub(crate) udp: UdpFaultProxy,
}

impl Front {
    /// Stands before a gateway that has a TCP and a UDP port of the same number.
    pub(crate) async fn start(gateway: SocketAddr, tcp: Plan, udp: Plan, noise: Noise) -> Self {
        for _ in 0..PORTS {
            let tcp = FaultProxy::start(gateway, tcp.clone()).await.expect("a free port");
            // A client's socket may have the UDP port of this number.
            if let Ok(udp) = UdpFaultProxy::start_at(tcp.address(), gateway, udp.clone(), noise).await {
                return Self { tcp, udp };
            }
        }
        panic!("no port number is free for both TCP and UDP");
    }

    /// Nothing happens but what the test asks for.
    pub(crate) async fn peaceful(gateway: SocketAddr) -> Self {
        Self::start(gateway, Plan::peaceful(), Plan::peaceful(), Noise::default()).await
    }

    /// What a client calls.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.tcp.address())
    }

    /// Tells the client of cuts that it is to be told of, until it is aborted: drops its link hard, since a network
    /// cannot do that to QUIC.
    pub(crate) fn tell(&self, session: Session) -> JoinHandle<()> {
        let mut counters = self.udp.watch();
        tokio::spawn(async move {
            let mut told = 0;
            while let Ok(seen) =
                counters.wait_for(|counters| counters.told > told).await.map(|seen| seen.told)
            {
                told = seen;
                session.cut().await;
            }
        })
    }

    /// Connections and flows that begin from now on get their fates from this plan.
    pub(crate) fn follow(&self, plan: Plan) {
        self.udp.follow(plan.clone());
        self.tcp.follow(plan);
    }

    /// Cuts all that stands; says how much there was.
    pub(crate) fn cut_all(&self, fault: Fault) -> usize {
        self.tcp.cut_all(fault) + self.udp.cut_all(fault)
    }
}

/// How many port numbers are tried.
const PORTS: usize = 100;
