//! Development mode: everything on this machine, with a sample, from nothing to ready in a second.

mod echo;
mod entitlement;
mod folder;
mod instance;
mod management;
mod sample;
mod show;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;

use base::handle;
use base::random;
use base::time::{Stopwatch, SystemClock};
use identity::admin::AdminTokens;

pub use instance::Instance;

use crate::config;
use crate::exit::{Exit, Failure, usage};
use crate::net;
use crate::out::Out;
use crate::process::{Process, Starting};
use crate::wire::{self, GatewayParts};
use folder::Folder;

/// Where the parts stand, counted from the gateway's port. Those between belong to parts that come later.
const ISSUER: u16 = 1;
const PORTAL: u16 = 2;
const ENTITLEMENT: u16 = 3;
const OPS: u16 = 4;
const ECHO: u16 = 5;

#[derive(Debug, Clone, Copy)]
pub struct Ports {
    address: IpAddr,
    gateway: u16,
    issuer: u16,
    portal: u16,
    entitlement: u16,
    ops: u16,
    echo: u16,
}

impl Ports {
    /// What others can reach is not for development: its secrets are in plain files, its pages without TLS.
    pub fn new(address: IpAddr, first: u16) -> anyhow::Result<Self> {
        if !address.is_loopback() {
            return Err(usage(format!("`cardea dev` listens on this machine only, not on {address}"))
                .hint(
                    "for other machines write a cardea.yaml and run `cardea serve`; `cardea doctor` says what it needs",
                )
                .into());
        }
        if first == 0 || first.checked_add(5).is_none() {
            return Err(usage(format!("--port {first} leaves no room for the ports after it")).into());
        }
        Ok(Self {
            address,
            gateway: first,
            issuer: first + ISSUER,
            portal: first + PORTAL,
            entitlement: first + ENTITLEMENT,
            ops: first + OPS,
            echo: first + ECHO,
        })
    }

    fn bind(&self, port: u16, what: &str) -> anyhow::Result<TcpListener> {
        net::bind(SocketAddr::new(self.address, port), what).map_err(|error| {
            Failure::new(Exit::Failed, format!("{error:#}"))
                .hint(format!(
                    "stop what holds it, or take other ports: cardea dev --port {}",
                    self.gateway.saturating_add(100)
                ))
                .into()
        })
    }

    fn url(&self, port: u16) -> String {
        match self.address {
            IpAddr::V4(_) => format!("http://localhost:{port}"),
            IpAddr::V6(address) => format!("http://[{address}]:{port}"),
        }
    }
}

pub async fn run(ports: Ports, data: &Path, out: Out) -> anyhow::Result<Exit> {
    let started = Stopwatch::start();
    let folder = Folder::open(data)?;
    let gateway_socket = ports.bind(ports.gateway, "the gateway")?;
    let identity_socket = ports.bind(ports.issuer, "the identity system")?;
    let portal_socket = ports.bind(ports.portal, "portal and console")?;
    let entitlement_socket = ports.bind(ports.entitlement, "the entitlement system")?;
    let ops_socket = ports.bind(ports.ops, "operations")?;
    let echo_socket = ports.bind(ports.echo, "the sample service")?;
    let echo_url = format!("http://{}", echo_socket.local_addr()?);

    let instance = Instance::new(&ports);
    let admin_token =
        folder.secret("secrets/admin.token", || handle::encode(handle::ADMIN_TOKEN, &random::bytes::<32>()))?;
    folder.secret("secrets/master.key", random::text::<48>)?;

    let clock = SystemClock::shared();
    let mut starting = Starting::for_this_machine(clock.clone())?;
    let callers = entitlement::callers(&folder)?;
    starting.entitlement(entitlement::config(&instance.entitlement, &callers, &folder)?, entitlement_socket).await?;
    entitlement::starter(&starting.roles).await?;
    starting.identity(identity_config(&instance, &folder)?, identity_socket).await?;
    let identity = starting.roles.identity.clone().ok_or_else(|| usage("identity did not start"))?;
    let sample = sample::prepare(&identity, &folder, &instance.portal).await?;
    starting.management(management::config(&instance, &folder, starting.roles.peer())?, portal_socket).await?;
    starting.serve(echo_socket, echo::router(&instance.issuer, sample::AUDIENCE, starting.roles.peer(), clock.clone()));

    let secret = folder.at(&format!("secrets/{}.secret", sample::GATEWAY));
    let caller = folder.at(&entitlement::secret_file("gateway"));
    let generated = sample::generated(&instance.issuer, &secret, &instance.entitlement, &caller);
    folder.write("resources/generated.yaml", &generated)?;
    let section = gateway_section(&ports, &instance, &folder);
    let parts = GatewayParts::new(&section, folder.at(""))?;
    starting.gateway(&section, parts, vec![gateway_socket])?;
    entitlement::heard(&starting.roles).await;
    let tokens = AdminTokens::new(vec![("dev".to_owned(), admin_token.clone())]);
    let managed = starting.roles.management.clone().ok_or_else(|| usage("management did not start"))?;
    let gateway = starting.roles.gateway.clone();
    let process: Process = starting.operations(ops_socket, tokens);
    management::publish(&managed, &folder, &echo_url).await?;
    let app = management::application(&managed, &identity, &folder).await?;
    let console = management::console_link(&managed).await?;
    management::until_served(gateway.as_deref()).await;

    instance.write(&folder)?;
    let shown = show::Shown {
        instance: &instance,
        sample: &sample,
        app: &app,
        console: &console,
        callers: &callers,
        admin_token: &admin_token,
        data,
    };
    shown.print(out, started.elapsed())?;
    process.run().await?;
    folder.remove("instance.json");
    Ok(Exit::Done)
}

fn identity_config(instance: &Instance, folder: &Folder) -> anyhow::Result<identity::Config> {
    let section = config::Identity {
        issuer: instance.issuer.clone(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database: config::Database::Sqlite,
        master_key: config::Reference::File(folder.at("secrets/master.key")),
        node: Some("dev".to_owned()),
        trusted_proxies: Vec::new(),
        lifetimes: config::Lifetimes::default(),
        keys: config::Keys::default(),
        templates: None,
        registration: config::Registration::default(),
        // What is tried out here runs on this machine.
        outgoing: config::Outgoing::Anywhere,
        policy: Some(issue_policy(instance, folder)),
    };
    wire::identity_config(&section, &folder.at(""))
}

/// The token service asks at each issue, and what it hears stands in the decision log. It is not enforced here: policies
/// that somebody tries out and that do not speak of issuing would lock everybody out, also of portal and console.
fn issue_policy(instance: &Instance, folder: &Folder) -> config::IssuePolicy {
    config::IssuePolicy {
        url: instance.entitlement.clone(),
        secret: config::Reference::File(folder.at(&entitlement::secret_file("identity"))),
        timeout: None,
        mode: config::IssuePolicyMode::Shadow,
    }
}

fn gateway_section(ports: &Ports, instance: &Instance, folder: &Folder) -> config::Gateway {
    config::Gateway {
        listen: vec![config::Listen { address: SocketAddr::new(ports.address, ports.gateway), tls: None }],
        public_url: instance.gateway.clone(),
        resources: Some(folder.at("resources")),
        trusted_proxies: Vec::new(),
        limits: config::Limits::default(),
        threads: None,
        management: Some(management::peer(instance, folder)),
        usage: config::Usage::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_can_reach_is_refused() {
        for address in ["0.0.0.0", "192.168.1.10", "::", "2001:db8::1"] {
            let refused = Ports::new(address.parse().unwrap(), 8080).unwrap_err();

            assert!(refused.to_string().contains("this machine only"), "{refused}");
        }
        assert!(Ports::new("127.0.0.1".parse().unwrap(), 8080).is_ok());
        assert!(Ports::new("::1".parse().unwrap(), 8080).is_ok());
    }

    #[test]
    fn ports_that_do_not_exist_are_refused() {
        assert!(Ports::new("127.0.0.1".parse().unwrap(), 65_533).is_err());
        assert!(Ports::new("127.0.0.1".parse().unwrap(), 0).is_err());
    }
}
