//! What a run consists of: who takes part, how well the network does, and what goes wrong how often.

/// One kind of run. Times are milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// For the report.
    pub(crate) name: &'static str,
    /// Honest proxies.
    pub(crate) proxies: usize,
    /// Honest clients; each attaches to every honest proxy.
    pub(crate) clients: usize,
    /// Clients with a trusted key and bad intentions.
    pub(crate) hostile_clients: usize,
    /// Whether every client also attaches to a proxy that talks nonsense.
    pub(crate) hostile_proxy: bool,
    /// Mean time between two partners, at each proxy.
    pub(crate) arrival_ms: u64,
    /// Mean time between two faults; 0 for none.
    pub(crate) fault_ms: u64,
    /// Longest delay of a segment on the way.
    pub(crate) delay_ms_max: u64,
    /// Percentage of connections that cannot be opened.
    pub(crate) open_failures: u64,
    /// Percentage of targets that refuse, are slow or do not answer.
    pub(crate) bad_targets: u64,
    /// Percentage of partners and stations that abort instead of ending.
    pub(crate) aborts: u64,
    /// Percentage of calls that the inside permits to leave the seal.
    pub(crate) unseals: u64,
    /// The proxy's `-T`.
    pub(crate) call_wait_ms: u64,
    /// Silence after which a control link is lost, at both ends.
    pub(crate) silence_ms: u64,
    /// A deliberate mistake of the model, to prove that the checks see it.
    pub(crate) flaw: Option<Flaw>,
    /// Whether every event is printed.
    pub(crate) shows: bool,
}

/// Mistakes that a daemon could make, and that the checks have to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A link that stops is told to the partner and the station as an orderly end.
    EndsOnLoss,
    /// A call that was accepted stays in the waiting room as well.
    AnswersTwice,
    /// The proxy gives the same token to two calls.
    ReusesTokens,
    /// A partner whose link is lost before the answer is forgotten.
    ForgetsPartner,
    /// The client does not say that a link is free again.
    LeaksLinks,
    /// Early payload is not sent again to the next client.
    DropsEarlyPayload,
    /// The proxy ignores the order to close its external ports.
    KeepsPortsOpen,
    /// A link whose call has left the seal is given back when the call is over.
    KeepsSpentLinks,
    /// A link whose last heartbeat is unanswered is kept when the next one is due.
    KeepsDeadLinks,
    /// Heartbeats on links are not answered.
    AnswersNoHeartbeat,
    /// The client does not say that it has heard a heartbeat on a link.
    HearsNoHeartbeat,
    /// What came in together with the goodbye of the seal is forgotten.
    LosesWhatFollows,
}

impl Scenario {
    /// One proxy, two clients, nothing goes wrong.
    pub(crate) fn calm() -> Self {
        Self {
            name: "calm",
            proxies: 1,
            clients: 2,
            hostile_clients: 0,
            hostile_proxy: false,
            arrival_ms: 120,
            fault_ms: 0,
            delay_ms_max: 12,
            open_failures: 0,
            bad_targets: 0,
            aborts: 0,
            unseals: 40,
            call_wait_ms: 10_000,
            silence_ms: 6_000,
            flaw: None,
            shows: false,
        }
    }

    /// Every scenario of the ordinary run.
    pub(crate) fn all() -> Vec<Self> {
        let calm = Self::calm();
        let faulty = Self {
            name: "faulty",
            clients: 3,
            fault_ms: 900,
            delay_ms_max: 80,
            open_failures: 10,
            bad_targets: 25,
            aborts: 20,
            ..calm.clone()
        };
        vec![
            Self { name: "single", clients: 1, fault_ms: 1_500, bad_targets: 10, aborts: 10, ..calm.clone() },
            Self { name: "two proxies", proxies: 2, fault_ms: 600, ..faulty.clone() },
            Self { name: "burst", clients: 4, arrival_ms: 8, fault_ms: 3_000, ..faulty.clone() },
            Self {
                name: "slow",
                delay_ms_max: 1_500,
                arrival_ms: 900,
                call_wait_ms: 30_000,
                ..faulty.clone()
            },
            Self { name: "hostile clients", hostile_clients: 2, fault_ms: 2_000, ..faulty.clone() },
            Self { name: "hostile proxy", hostile_proxy: true, fault_ms: 2_500, ..faulty.clone() },
            Self {
                name: "everything",
                proxies: 2,
                hostile_clients: 1,
                hostile_proxy: true,
                ..faulty.clone()
            },
            faulty,
            calm,
        ]
    }
}
