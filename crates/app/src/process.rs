//! One process: its roles on their sockets, from start to a stop in good order.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use base::time::SharedClock;
use gateway::edge;
use identity::admin::AdminTokens;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::environment;
use crate::handover;
use crate::memory;
use crate::net;
use crate::ops::{self, Ops};
use crate::wire::{self, Roles};

/// How long a new process may take until it serves.
const TAKE_OVER: Duration = Duration::from_secs(20);
const DRAIN: Duration = Duration::from_secs(30);

/// Sockets that are bound already, so that a port that is taken is known before anything starts.
pub struct Sockets {
    pub identity: Option<TcpListener>,
    pub entitlement: Option<TcpListener>,
    pub management: Option<TcpListener>,
    pub gateway: Vec<TcpListener>,
    pub ops: TcpListener,
}

impl Sockets {
    /// The same sockets once more, to be handed to a new process.
    pub fn copies(&self) -> anyhow::Result<Vec<TcpListener>> {
        let single = self.identity.iter().chain(&self.entitlement).chain(&self.management);
        let all = single.chain(&self.gateway).chain(std::iter::once(&self.ops));
        all.map(|socket| socket.try_clone().context("a listener cannot be kept")).collect()
    }
}

/// What a new process of the same program needs of this one.
struct Replacement {
    command: Command,
    sockets: Vec<TcpListener>,
}

/// What runs, in the order in which it is stopped.
pub struct Process {
    signals: Signals,
    roles: Arc<Roles>,
    edge: Option<edge::Running>,
    drain: Duration,
    /// The servers and tasks of the roles, and those of operations, which stop last.
    work: Stage,
    operations: Stage,
    commands: mpsc::Receiver<ops::Command>,
    replacement: Option<Replacement>,
}

/// Tasks that end together.
#[derive(Default)]
struct Stage {
    stop: CancellationToken,
    /// Answers for names of this machine alone.
    this_machine: bool,
    tasks: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Stage {
    fn serve(&mut self, socket: TcpListener, router: Router) {
        let router = if self.this_machine { net::for_this_machine(router) } else { router };
        let router = net::released(router, self.stop.clone());
        self.tasks.push(tokio::spawn(net::serve(socket, router, self.stop.clone())));
    }

    async fn end(self, within: Duration) {
        self.stop.cancel();
        for task in self.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout(within, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

/// A process that is being put together.
pub struct Starting {
    /// Received from the first moment on: a stop that comes during the start is not lost.
    signals: Signals,
    clock: SharedClock,
    work: Stage,
    edge: Option<edge::Running>,
    drain: Duration,
    pub roles: Roles,
}

impl Starting {
    pub fn new(clock: SharedClock) -> anyhow::Result<Self> {
        let (signals, roles) = (Signals::new()?, Roles::default());
        Ok(Self { signals, clock, work: Stage::default(), edge: None, drain: DRAIN, roles })
    }

    /// For development: nobody who comes under another name than this machine's is answered, but by the gateway.
    pub fn for_this_machine(clock: SharedClock) -> anyhow::Result<Self> {
        let mut starting = Self::new(clock)?;
        starting.work.this_machine = true;
        Ok(starting)
    }

    /// Opens the identity system and puts it on its socket.
    pub async fn identity(&mut self, config: identity::Config, socket: TcpListener) -> anyhow::Result<()> {
        let identity = wire::open_identity(config, &self.clock).await?;
        self.work.serve(socket, identity::router::public(identity.clone()));
        let stop = self.work.stop.clone();
        let tended = identity.clone();
        self.work.tasks.push(tokio::spawn(async move {
            wire::tend_identity(tended, stop).await;
            Ok(())
        }));
        self.roles.identity = Some(identity);
        Ok(())
    }

    /// Opens the entitlement system and puts it on its socket.
    pub async fn entitlement(&mut self, config: entitlement::Config, socket: TcpListener) -> anyhow::Result<()> {
        let entitlement = wire::open_entitlement(config, &self.clock).await?;
        self.work.serve(socket, entitlement::router::served(entitlement.clone()));
        let stop = self.work.stop.clone();
        let tended = entitlement.clone();
        self.work.tasks.push(tokio::spawn(async move {
            wire::tend_entitlement(tended, stop).await;
            Ok(())
        }));
        self.roles.entitlement = Some(entitlement);
        Ok(())
    }

    /// Opens the management system and puts it on its socket.
    pub async fn management(&mut self, config: management::Config, socket: TcpListener) -> anyhow::Result<()> {
        let management = wire::open_management(config, &self.clock).await?;
        self.work.serve(socket, management::router::public(management.clone()));
        let stop = self.work.stop.clone();
        let tended = management.clone();
        self.work.tasks.push(tokio::spawn(async move {
            wire::tend_management(tended, stop).await;
            Ok(())
        }));
        self.roles.management = Some(management);
        Ok(())
    }

    /// A small server beside the roles, such as the sample service of development mode.
    pub fn serve(&mut self, socket: TcpListener, router: Router) {
        self.work.serve(socket, router);
    }

    pub fn gateway(
        &mut self,
        section: &config::Gateway,
        parts: wire::GatewayParts,
        sockets: Vec<TcpListener>,
    ) -> anyhow::Result<()> {
        self.roles.gateway = Some(wire::open_gateway(parts, self.roles.peer(), &self.clock)?);
        self.edge = Some(wire::serve_gateway(&mut self.roles, section, sockets, &self.clock)?);
        self.drain = section.limits.drain_time.map_or(DRAIN, |span| span.0);
        Ok(())
    }

    /// Operations come last: whoever reads `/readyz` finds everything else in its place.
    pub fn operations(self, socket: TcpListener, tokens: AdminTokens) -> Process {
        let roles = Arc::new(self.roles);
        let (commands, received) = mpsc::channel(4);
        let ops = Ops { roles: roles.clone(), commands };
        let mut operations = Stage { this_machine: self.work.this_machine, ..Stage::default() };
        operations.serve(socket, ops::router(ops, tokens));
        Process {
            signals: self.signals,
            roles,
            edge: self.edge,
            drain: self.drain,
            work: self.work,
            operations,
            commands: received,
            replacement: None,
        }
    }
}

impl Process {
    /// Lets SIGUSR2 and `cardea reload --binary` start a new process on the same sockets.
    pub fn replaceable(mut self, sockets: Vec<TcpListener>) -> anyhow::Result<Self> {
        let command = environment::own_command_line().context("the program's own file is not known")?;
        self.replacement = Some(Replacement { command, sockets });
        Ok(self)
    }

    /// Runs until a signal says stop. SIGHUP and `cardea reload` read resources and certificates again.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut tidying = tokio::time::interval(memory::EVERY);
        tidying.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let order = tokio::select! {
                order = self.signals.next() => order,
                Some(command) = self.commands.recv() => Order::Command(command),
                _ = tidying.tick() => Order::GiveBack,
            };
            match order {
                Order::Stop => break,
                Order::GiveBack => memory::give_back(),
                Order::Command(ops::Command::Reload) => {
                    if let Err(error) = self.roles.reload().await {
                        tracing::error!(cause = %error, "the reload was refused; the old configuration goes on serving");
                    }
                }
                Order::Command(ops::Command::Replace(asked)) => {
                    let outcome = self.hand_over().await;
                    let taken_over = outcome.is_ok();
                    if let Some(asked) = asked {
                        let _gone = asked.send(outcome);
                    }
                    if taken_over {
                        break;
                    }
                }
            }
        }
        tracing::info!("stopping: running requests are let end");
        self.stop().await;
        Ok(())
    }

    /// A new process serves on these sockets, or this one goes on as if nothing had been.
    async fn hand_over(&self) -> Result<(), String> {
        let Some(replacement) = &self.replacement else {
            return Err("development mode is not replaced while it runs; stop it and start it again".to_owned());
        };
        let mut command = Command::new(replacement.command.get_program());
        command.args(replacement.command.get_args());
        match handover::hand_over(command, &replacement.sockets, TAKE_OVER).await {
            Ok(child) => {
                tracing::info!(process.id = child.id(), "a new process has taken over");
                Ok(())
            }
            Err(error) => {
                tracing::error!(cause = %error, "the new process did not take over; this one goes on");
                Err(error.to_string())
            }
        }
    }

    /// The gateway first, since it asks the identity system; operations last. A second signal ends it at once.
    async fn stop(self) {
        self.roles.stop();
        let mut signals = self.signals;
        let in_order = async {
            if let Some(edge) = self.edge {
                edge.drain(self.drain).await;
            }
            self.work.end(self.drain).await;
            self.operations.end(Duration::from_secs(1)).await;
        };
        tokio::select! {
            () = in_order => {}
            () = signals.stopped() => tracing::warn!("stopped before all requests had ended"),
        }
    }
}

enum Order {
    Stop,
    GiveBack,
    Command(ops::Command),
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    replace: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            hangup: of(SignalKind::hangup())?,
            replace: of(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.hangup.recv() => Order::Command(ops::Command::Reload),
            _ = self.replace.recv() => Order::Command(ops::Command::Replace(None)),
        }
    }

    async fn stopped(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
