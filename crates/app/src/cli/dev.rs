//! `cardea dev`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Args;

use crate::dev::{self, Ports};
use crate::exit::Exit;
use crate::out::Out;

#[derive(Debug, Args)]
pub struct Dev {
    /// The gateway's port; the other parts take the ports after it
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Where data, secrets and resource files of this instance are kept
    #[arg(long, value_name = "DIR", default_value = "./.cardea")]
    data: PathBuf,
    /// A loopback address of this machine
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
}

impl Dev {
    pub fn run(self, out: Out) -> anyhow::Result<Exit> {
        let ports = Ports::new(self.address, self.port)?;
        super::server_runtime()?.block_on(Box::pin(dev::run(ports, &self.data, out)))
    }
}
