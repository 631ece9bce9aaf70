//! A network between a client and an address: TCP and UDP at one port, as a gateway has them.

use std::io;
use std::net::SocketAddr;

use crate::faults::{Passage, Strike, TcpFaults, Whom};
use crate::line::Line;
use crate::tcp::TcpProxy;
use crate::udp::UdpProxy;

/// Both proxies, at the same port number.
#[derive(Debug)]
pub struct Network {
    /// What carries TCP.
    pub tcp: TcpProxy,
    /// What carries UDP.
    pub udp: UdpProxy,
}

impl Network {
    /// A network whose TCP leads to `tcp` and whose UDP leads to `udp`; nothing is wrong with it yet.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(tcp: SocketAddr, udp: SocketAddr, line: &Line) -> io::Result<Self> {
        let mut attempts = 0;
        loop {
            let tcp = TcpProxy::start(tcp, line.clone(), TcpFaults::default()).await?;
            match UdpProxy::start_at(tcp.address(), udp, line.clone()).await {
                Ok(udp) => return Ok(Self { tcp, udp }),
                // Somebody has that number for UDP.
                Err(error) if attempts == 16 => return Err(error),
                Err(_) => attempts += 1,
            }
        }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.tcp.address()
    }

    /// From now on does this to what begins, and to datagrams.
    pub fn meddle(&self, tcp: TcpFaults, udp: Passage) {
        self.tcp.meddle(tcp);
        self.udp.pass(udp);
    }

    /// Strikes connections that stand; says how many.
    pub fn strike(&self, whom: Whom, strike: Strike) -> usize {
        self.tcp.strike(whom, strike)
    }

    /// From now on lets everything pass.
    pub fn heal(&self) {
        self.tcp.heal();
        self.udp.heal();
    }
}
