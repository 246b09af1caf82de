//! Where checks go, so that no more than some two million operators run from one to the next, whatever a module was made to
//! do: at the head of each loop, at the beginning of each function that can come to be called by itself, and wherever
//! a way through a function, with all that it calls, has become too long without any.
//!
//! A function's cost is the longest way through it that meets no check. What it calls counts with its own cost, and with
//! [`STRETCH_MAX`] if that is not known: functions of a circle, imports, whatever a table holds. Since a way is never
//! longer than that, neither is what runs unchecked before a function's first check, behind its last, or between two.

use super::Unusual;
use super::graph::{Graph, index};
use super::module::Sections;
use wasmparser::{FunctionBody, Operator};

/// Operators on a way without a check: a millisecond.
const STRETCH_MAX: u32 = 1 << 20;
/// What an operator counts that may touch all memory.
const BULK: u32 = STRETCH_MAX / 16;

/// Offsets in the module, ascending: a check goes before what stands there.
pub(super) type Placed = Vec<u64>;

/// The checks of each function.
pub(super) fn place(sections: &Sections<'_>, graph: &Graph) -> Result<Vec<Placed>, Unusual> {
    let mut all = vec![Placed::new(); sections.bodies.len()];
    let mut costs = vec![STRETCH_MAX; sections.bodies.len()];
    for function in graph.circles.iter().flatten() {
        let body = sections.bodies.get(*function).ok_or("unreadable")?;
        let cost_of = |called: u32| {
            let own = called.checked_sub(sections.imported_functions);
            own.and_then(|own| costs.get(index(own))).copied().unwrap_or(STRETCH_MAX)
        };
        let in_circle = graph.in_circle.get(*function).copied().unwrap_or(true);
        let (placed, cost) = Walk::through(body, in_circle, cost_of)?;
        *all.get_mut(*function).ok_or("unreadable")? = placed;
        *costs.get_mut(*function).ok_or("unreadable")? = cost;
    }
    Ok(all)
}

/// A block that the walk is in.
struct Block {
    kind: Kind,
    /// The longest way to its beginning.
    before: u32,
    /// The longest one to its end by a branch.
    at_end: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Loop,
    /// Without an `else`, so far.
    If,
}

/// A walk through a function's code in the order in which it is written.
struct Walk {
    placed: Placed,
    blocks: Vec<Block>,
    /// The longest way to here without a check; 0 where no way leads.
    way: u32,
    longest: u32,
}

impl Walk {
    fn through(
        body: &FunctionBody<'_>,
        check_first: bool,
        cost_of: impl Fn(u32) -> u32,
    ) -> Result<(Placed, u32), Unusual> {
        let function = Block { kind: Kind::Plain, before: 0, at_end: 0 };
        let mut walk = Walk { placed: Placed::new(), blocks: vec![function], way: 0, longest: 0 };
        let mut operators = body.get_operators_reader().map_err(|_| "unreadable")?;
        let mut check_here = check_first;
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset().map_err(|_| "unreadable")?;
            let cost = match &operator {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    cost_of(*function_index).max(1)
                }
                Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. } => STRETCH_MAX,
                Operator::MemoryCopy { .. }
                | Operator::MemoryFill { .. }
                | Operator::MemoryInit { .. }
                | Operator::MemoryGrow { .. }
                | Operator::TableCopy { .. }
                | Operator::TableFill { .. }
                | Operator::TableInit { .. }
                | Operator::TableGrow { .. } => BULK,
                _ => 1,
            };
            if check_here || too_long(walk.way, cost) {
                walk.placed.push(offset);
                walk.way = 0;
            }
            check_here = matches!(operator, Operator::Loop { .. });
            walk.way = walk.way.saturating_add(cost);
            walk.longest = walk.longest.max(walk.way);
            walk.step(&operator)?;
        }
        Ok((walk.placed, walk.longest.min(STRETCH_MAX)))
    }

    fn step(&mut self, operator: &Operator<'_>) -> Result<(), Unusual> {
        let before = self.way;
        let mut open = |kind| self.blocks.push(Block { kind, before, at_end: 0 });
        match operator {
            Operator::Block { .. } => open(Kind::Plain),
            Operator::Loop { .. } => open(Kind::Loop),
            Operator::If { .. } => open(Kind::If),
            Operator::Else => {
                let block = self.blocks.last_mut().ok_or("unreadable")?;
                block.kind = Kind::Plain;
                block.at_end = block.at_end.max(self.way);
                self.way = block.before;
            }
            Operator::End => {
                let block = self.blocks.pop().ok_or("unreadable")?;
                let past = if block.kind == Kind::If { block.before } else { 0 };
                self.way = self.way.max(block.at_end).max(past);
            }
            Operator::Br { relative_depth } => {
                self.branch(*relative_depth)?;
                self.way = 0;
            }
            Operator::BrIf { relative_depth } => self.branch(*relative_depth)?,
            Operator::BrTable { targets } => {
                for target in targets.targets() {
                    self.branch(target.map_err(|_| "unreadable")?)?;
                }
                self.branch(targets.default())?;
                self.way = 0;
            }
            Operator::Return
            | Operator::Unreachable
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. } => self.way = 0,
            _ => {}
        }
        Ok(())
    }

    /// A branch to the end of a block; one to the head of a loop meets its check.
    fn branch(&mut self, depth: u32) -> Result<(), Unusual> {
        let outer = self.blocks.len().checked_sub(index(depth).saturating_add(1));
        let block = outer.and_then(|outer| self.blocks.get_mut(outer)).ok_or("unreadable")?;
        if block.kind != Kind::Loop {
            block.at_end = block.at_end.max(self.way);
        }
        Ok(())
    }
}

/// Whether a check must come before something of this cost.
fn too_long(way: u32, cost: u32) -> bool {
    way > 0 && way.saturating_add(cost) > STRETCH_MAX
}
