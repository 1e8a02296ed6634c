//! What must always hold, and what must be possible so that this says something.

use stateright::Property;

use super::Cluster;
use super::state::{Engine, GENERATIONS_MAX, Mode, NODES, Proof, State, Step, other};

pub const OUTPUT_COMMIT: &str = "I1: what was seen outside is in every replica that could be promoted and in the guest that runs";
pub const SOLO_NEEDS_PROOF: &str =
    "I2: while a guest runs solo no replica of an older generation could be promoted";
pub const PROMOTE_NEEDS_PROOF: &str = "I3: no guest is promoted while the other one runs";
pub const ONE_LIFE: &str = "I7: no two guests run with their outputs released";
pub const PROTECTED: &str = "the replica of a guest that is protected could be promoted";

pub const NOT_BARRED: &str = "no claim keeps the Promoted role from a guest that runs";

pub const BOUNDED: &str = "failures that end do not make generations without end";

pub const SAFETY: [&str; 7] = [
    OUTPUT_COMMIT,
    SOLO_NEEDS_PROOF,
    PROMOTE_NEEDS_PROOF,
    ONE_LIFE,
    PROTECTED,
    NOT_BARRED,
    BOUNDED,
];

pub fn has_service(state: &State) -> bool {
    state.hosts.iter().any(|host| host.engine.releases())
}

fn is_current(cluster: &Cluster, state: &State) -> bool {
    NODES.into_iter().all(|node| {
        let host = &state.hosts[node];
        let counts = host.engine.is_primary() || cluster.could_be_promoted(state, node);
        !counts || host.current
    })
}

fn is_alone_with_proof(cluster: &Cluster, state: &State) -> bool {
    NODES
        .into_iter()
        .all(|node| match state.hosts[node].engine {
            Engine::Primary {
                mode: Mode::Solo | Mode::Syncing,
                generation,
            } => {
                let peer = other(node);
                let older = state.hosts[peer]
                    .engine
                    .complete()
                    .is_some_and(|own| own < generation);
                !(older && cluster.could_be_promoted(state, peer))
            }
            _ => true,
        })
}

fn is_promoting(state: &State, is_it: impl Fn(Engine) -> bool) -> bool {
    state
        .hosts
        .iter()
        .any(|host| matches!(host.step, Step::PromotionWritten { .. }) && is_it(host.engine))
}

pub fn properties() -> Vec<Property<Cluster>> {
    vec![
        Property::always(OUTPUT_COMMIT, is_current),
        Property::always(SOLO_NEEDS_PROOF, is_alone_with_proof),
        Property::always(PROMOTE_NEEDS_PROOF, |_: &Cluster, state: &State| {
            !state.hosts.iter().all(|host| host.engine.is_primary())
        }),
        Property::always(ONE_LIFE, |_: &Cluster, state: &State| {
            !state.hosts.iter().all(|host| host.engine.releases())
        }),
        Property::always(PROTECTED, |cluster: &Cluster, state: &State| {
            NODES
                .into_iter()
                .all(|node| match state.hosts[node].engine {
                    Engine::Primary {
                        mode: Mode::Protected,
                        ..
                    } => cluster.could_be_promoted(state, other(node)),
                    _ => true,
                })
        }),
        Property::always(NOT_BARRED, |cluster: &Cluster, state: &State| {
            NODES.into_iter().all(|node| {
                let cib = &state.cib[state.dc_of(node)];
                !state.is_in_cluster(node)
                    || !state.hosts[node].engine.releases()
                    || !cluster.is_barred(state, cib, node)
            })
        }),
        Property::always(BOUNDED, |_: &Cluster, state: &State| {
            state
                .hosts
                .iter()
                .all(|host| host.disk.generation < GENERATIONS_MAX)
        }),
        Property::sometimes("a replica is promoted", |_: &Cluster, state: &State| {
            is_promoting(state, |engine| matches!(engine, Engine::InSync { .. }))
        }),
        Property::sometimes("a guest is handed over", |_: &Cluster, state: &State| {
            is_promoting(state, |engine| matches!(engine, Engine::HandedOver { .. }))
        }),
        Property::sometimes(
            "a guest starts from cold again",
            |_: &Cluster, state: &State| is_promoting(state, |engine| engine == Engine::Empty),
        ),
        Property::sometimes("solo by the other's word", |_: &Cluster, state: &State| {
            Cluster::is_entering_by(state, Proof::Said)
        }),
        Property::sometimes(
            "solo because the other is fenced",
            |_: &Cluster, state: &State| Cluster::is_entering_by(state, Proof::Fenced),
        ),
        Property::sometimes(
            "solo because the other is stopped",
            |_: &Cluster, state: &State| Cluster::is_entering_by(state, Proof::Stopped),
        ),
        Property::sometimes(
            "a claim is taken over",
            |cluster: &Cluster, state: &State| {
                NODES
                    .into_iter()
                    .any(|node| cluster.may_take_over(state, node))
            },
        ),
    ]
}
