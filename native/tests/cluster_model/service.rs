//! Whether the service always comes back.
//!
//! It is asked of every state that can be reached: does a way of protocol steps and of ends of failures alone lead to a guest
//! whose outputs are released? If it does from all of them, every fair run gets there. A check of the states in which nothing is
//! left to do would miss two nodes that go round in circles, and stateright's `eventually` may miss both where ways join.

use std::collections::{HashMap, VecDeque};

use stateright::Model;

use super::Cluster;
use super::action::Action;
use super::properties::has_service;
use super::state::State;

/// Every state, how it was reached, and who leads to it without a further event.
pub struct Graph {
    states: Vec<State>,
    reached: Vec<Option<(u32, Action)>>,
    predecessors: Vec<Vec<u32>>,
}

impl Graph {
    pub fn of(cluster: &Cluster) -> Self {
        let mut graph = Self {
            states: Vec::new(),
            reached: Vec::new(),
            predecessors: Vec::new(),
        };
        let mut numbers = HashMap::new();
        let mut open = VecDeque::new();
        for state in cluster.init_states() {
            let number = graph.add(&mut numbers, state, None);
            open.push_back(number);
        }
        let mut actions = Vec::new();
        while let Some(from) = open.pop_front() {
            let state = graph.states[from as usize];
            cluster.steps(&state, &mut actions);
            let steps = actions.len();
            cluster.events(&state, &mut actions);
            for (index, action) in actions.drain(..).enumerate() {
                let Some(next) = cluster.next_state(&state, action) else {
                    continue;
                };
                let known = numbers.get(&next).copied();
                if !cluster.within_boundary(&next) {
                    continue;
                }
                let number = known.unwrap_or_else(|| {
                    open.push_back(
                        u32::try_from(graph.states.len()).expect("states are counted in 32 bits"),
                    );
                    graph.add(&mut numbers, next, Some((from, action)))
                });
                if index < steps {
                    graph.predecessors[number as usize].push(from);
                }
            }
        }
        graph
    }

    fn add(
        &mut self,
        numbers: &mut HashMap<State, u32>,
        state: State,
        reached: Option<(u32, Action)>,
    ) -> u32 {
        let number = u32::try_from(self.states.len()).expect("states are counted in 32 bits");
        numbers.insert(state, number);
        self.states.push(state);
        self.reached.push(reached);
        self.predecessors.push(Vec::new());
        number
    }

    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// The shortest way to a state from which no service comes back.
    pub fn way_to_no_service(&self) -> Option<(Vec<Action>, State)> {
        let mut leads_to_service: Vec<bool> = self.states.iter().map(has_service).collect();
        let mut open: Vec<usize> = (0..self.states.len())
            .filter(|&number| leads_to_service[number])
            .collect();
        while let Some(number) = open.pop() {
            for &from in &self.predecessors[number] {
                if !std::mem::replace(&mut leads_to_service[from as usize], true) {
                    open.push(from as usize);
                }
            }
        }
        let lost = leads_to_service.iter().position(|leads| !leads)?;
        let mut way = Vec::new();
        let mut at = lost;
        while let Some((from, action)) = self.reached[at] {
            way.push(action);
            at = from as usize;
        }
        way.reverse();
        Some((way, self.states[lost]))
    }
}
