//! Who calls whom in a module.

use super::Unusual;
use super::module::Sections;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use wasmparser::{FunctionBody, Operator};

/// The longest function that is taken for one that only passes a call on, operators.
const PASSING_ON_MAX: usize = 1_000;

/// What calls go out of a function.
#[derive(Default)]
struct Calls {
    /// Functions of the module that it calls, each as often as it does.
    own: Vec<u32>,
    /// Calls of imports.
    imports: usize,
    /// Calls of whatever a table holds.
    tables: usize,
    /// Functions that it takes a reference of.
    referred: Vec<u32>,
    loops: bool,
    tail_calls: bool,
    operators: usize,
}

/// The functions of a module that have code, by index among those that have.
pub(super) struct Graph {
    calls: Vec<Calls>,
    /// Those in circles together: what is called comes before what calls it.
    pub(super) circles: Vec<Vec<usize>>,
    /// By function: whether it can come to be called by itself.
    pub(super) in_circle: Vec<bool>,
}

impl Graph {
    pub(super) fn read(sections: &Sections<'_>) -> Result<Self, Unusual> {
        let imported = sections.imported_functions;
        let calls: Result<Vec<Calls>, Unusual> =
            sections.bodies.iter().map(|body| Calls::read(body, imported)).collect();
        let calls = calls?;
        let mut graph = DiGraph::<usize, ()>::with_capacity(calls.len() + 2, calls.len() * 4);
        let nodes: Vec<NodeIndex> = (0..calls.len()).map(|function| graph.add_node(function)).collect();
        let (imports, tables) = (graph.add_node(usize::MAX), graph.add_node(usize::MAX));
        let node = |function: u32| nodes.get(index(function.checked_sub(imported)?)).copied();
        for (from, calls) in nodes.iter().zip(&calls) {
            for called in &calls.own {
                graph.add_edge(*from, node(*called).ok_or("unreadable")?, ());
            }
            for (to, there_are) in [(imports, calls.imports), (tables, calls.tables)] {
                if there_are > 0 {
                    graph.add_edge(*from, to, ());
                }
            }
        }
        // What is exported may be put into a table without being named by a segment.
        let referred = calls.iter().flat_map(|calls| &calls.referred);
        let in_tables = sections.in_tables.iter().chain(referred).map(|function| (tables, function));
        for (from, function) in sections.reentered.iter().map(|function| (imports, function)).chain(in_tables)
        {
            graph.add_edge(from, node(*function).unwrap_or(imports), ());
        }
        let mut in_circle = vec![false; calls.len()];
        let mut circles = Vec::new();
        for circle in kosaraju_scc(&graph) {
            let several = circle.len() > 1;
            for node in &circle {
                if let Some(marked) = graph.node_weight(*node).and_then(|place| in_circle.get_mut(*place)) {
                    *marked = several || graph.contains_edge(*node, *node);
                }
            }
            circles
                .push(circle.iter().map(|node| node.index()).filter(|place| *place < calls.len()).collect());
        }
        Ok(Graph { calls, circles, in_circle })
    }

    /// Whether no function does more than to pass a call on: a circle of such ones ends with the stack.
    pub(super) fn only_passes_on(&self) -> bool {
        self.calls.iter().all(|calls| {
            let one = calls.own.len() + calls.imports + calls.tables <= 1;
            one && !calls.loops && !calls.tail_calls && calls.operators <= PASSING_ON_MAX
        })
    }
}

impl Calls {
    fn read(body: &FunctionBody<'_>, imported: u32) -> Result<Self, Unusual> {
        let mut calls = Calls::default();
        let mut operators = body.get_operators_reader().map_err(|_| "unreadable")?;
        while !operators.eof() {
            let operator = operators.read().map_err(|_| "unreadable")?;
            calls.operators += 1;
            match operator {
                Operator::Loop { .. } => calls.loops = true,
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    if function_index < imported {
                        calls.imports += 1;
                    } else {
                        calls.own.push(function_index);
                    }
                }
                Operator::RefFunc { function_index } => calls.referred.push(function_index),
                Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. } => calls.tables += 1,
                _ => {}
            }
            calls.tail_calls |=
                matches!(operator, Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. });
        }
        Ok(calls)
    }
}

/// An index of wasm's as one of ours.
pub(super) fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
