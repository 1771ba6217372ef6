//! What the tour claims, checked where it is printed.

use std::process::ExitCode;

#[derive(Default)]
pub struct Claims {
    held: usize,
    broken: usize,
}

impl Claims {
    /// Prints a claim with a mark that says whether it holds.
    pub fn claim(&mut self, holds: bool, claim: &str) {
        let mark = if holds { "✓" } else { "✗ NOT SO:" };
        println!("  {mark} {claim}");
        *(if holds { &mut self.held } else { &mut self.broken }) += 1;
    }

    /// The last line of the tour, and its exit code.
    pub fn sum_up(&self) -> ExitCode {
        let all = self.held + self.broken;
        if self.broken > 0 {
            println!("\n{} of {all} claims did not hold", self.broken);
            return ExitCode::FAILURE;
        }
        println!("\n{all} claims held");
        ExitCode::SUCCESS
    }
}
