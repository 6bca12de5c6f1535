//! The numbered account of what was done.

use std::fmt::Display;

use crate::print;

/// Counts the steps and what went wrong in them.
#[derive(Default)]
pub(super) struct Account {
    steps: u32,
    failures: u32,
}

impl Account {
    /// Begins a step.
    pub(super) fn step(&mut self, title: impl Display) {
        self.steps += 1;
        print::line(format!("\n{:2}. {title}", self.steps));
    }

    /// Something was as it should be.
    pub(super) fn good(&self, text: impl Display) {
        print::line(format!("    ✓ {text}"));
    }

    /// Something was not.
    pub(super) fn bad(&mut self, text: impl Display) {
        self.failures += 1;
        print::line(format!("    ✗ {text}"));
    }

    /// One or the other.
    pub(super) fn check(&mut self, is_good: bool, text: impl Display) {
        if is_good { self.good(text) } else { self.bad(text) }
    }

    /// More about it.
    pub(super) fn detail(&self, text: impl Display) {
        print::line(format!("      {text}"));
    }

    /// Whether nothing went wrong.
    pub(super) fn is_all_right(&self) -> bool {
        self.failures == 0
    }

    /// The last line of the steps.
    pub(super) fn sum_up(&self) {
        match (self.steps, self.failures) {
            (steps, 0) => print::line(format!("\nAll {steps} steps went well.")),
            (_, 1) => print::line("\nOne thing went wrong, see ✗ above."),
            (_, count) => print::line(format!("\n{count} things went wrong, see ✗ above.")),
        }
    }
}
