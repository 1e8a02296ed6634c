//! `durableAfter`: what the disk says after a look at the engine.

use super::Cluster;
use super::state::{Disk, Engine, Mode, Node, State, Sync, other};

impl Cluster {
    pub fn durable_after(state: &State, node: Node) -> Disk {
        let host = &state.hosts[node];
        let disk = host.disk;
        let at_least = |generation: u8| disk.generation.max(generation);
        match host.engine {
            Engine::Primary {
                mode: Mode::Solo,
                generation,
            } => {
                if generation < disk.generation {
                    return disk;
                }
                Disk {
                    generation,
                    owner: node,
                    sync: Sync::Solo,
                    ..disk
                }
            }
            Engine::Primary { generation, .. } => {
                let generation = at_least(generation);
                Disk {
                    generation,
                    owner: node,
                    sync: Sync::Protected,
                    ..disk
                }
            }
            Engine::Parked { .. } => Disk {
                sync: Sync::Solo,
                ..disk
            },
            Engine::InSync { generation } | Engine::HandedOver { generation } => {
                // It is outdated already, the engine is about to hear it.
                if generation <= disk.outdated_through {
                    return disk;
                }
                let generation = at_least(generation);
                Disk {
                    generation,
                    owner: other(node),
                    sync: Sync::Protected,
                    ..disk
                }
            }
            Engine::Receiving { .. } => match disk.sync {
                Sync::None => disk,
                _ => Disk {
                    sync: Sync::Outdated,
                    ..disk
                },
            },
            Engine::Empty | Engine::None => disk,
        }
    }

    pub fn save_after(state: &mut State, node: Node) {
        state.hosts[node].disk = Self::durable_after(state, node);
    }
}
