//! The arguments of Rust's own test programs that people use (`cargo test -- --help`).

use clap::Parser;

use super::Test;
use crate::kind::Kind;

/// Tests on real hosts
#[derive(Debug, Parser)]
#[command(
    about,
    after_help = "Examples:\n  cargo test --release -p lab --test main -- deployments\n  \
                  cargo test --release -p lab --test main -- --exact failures::build_failure"
)]
pub struct Arguments {
    /// Run only tests whose name contains one of these
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// Run only tests whose name is one of the filters
    #[arg(long)]
    exact: bool,
    /// Leave out tests whose name contains this
    #[arg(long, value_name = "FILTER")]
    skip: Vec<String>,
    /// List the tests and run none
    #[arg(long)]
    pub list: bool,
    /// How many light tests run at a time; a heavy one takes the place of several
    #[arg(long, value_name = "N")]
    pub test_threads: Option<usize>,
    /// Run each test on this kind of hosts; default: the kinds that it names
    #[arg(long, value_name = "KIND")]
    pub hosts: Option<Kind>,
    /// Run ignored tests; there are none
    #[arg(long)]
    ignored: bool,
    /// Run ignored tests too; there are none
    #[arg(long)]
    include_ignored: bool,
    /// What tests print is always shown
    #[arg(long, alias = "no-capture", alias = "show-output")]
    nocapture: bool,
    /// Taken, and without a meaning here
    #[arg(long, short, hide = true)]
    quiet: bool,
    /// Taken, and without a meaning here
    #[arg(long, value_name = "FORMAT", hide = true)]
    format: Option<String>,
    /// Taken, and without a meaning here
    #[arg(long, value_name = "WHEN", hide = true)]
    color: Option<String>,
}

impl Arguments {
    /// Whether nothing is left out, and nobody asked for one kind of hosts.
    pub fn is_everything(&self) -> bool {
        self.filters.is_empty() && self.skip.is_empty() && self.hosts.is_none() && !self.ignored
    }

    /// Whether a test is to be run.
    pub fn choose(&self, test: &Test) -> bool {
        let name = test.shown();
        let is = |filter: &String| match self.exact {
            true => name == filter,
            false => name.contains(filter.as_str()),
        };
        !self.ignored
            && (self.filters.is_empty() || self.filters.iter().any(is))
            && !self.skip.iter().any(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_choose_as_in_other_test_programs() {
        let check = |words: &[&str], expected: &[&str]| {
            let arguments = Arguments::parse_from(["tests"].iter().chain(words));
            let names = ["main::a::one", "main::a::one_more", "main::b::two"];
            let chosen: Vec<&str> = names
                .into_iter()
                .map(Test::named)
                .filter(|test| arguments.choose(test))
                .map(|test| test.shown())
                .collect();
            assert_eq!(chosen, expected, "{words:?}");
        };
        check(&[], &["a::one", "a::one_more", "b::two"]);
        check(&["one"], &["a::one", "a::one_more"]);
        check(&["a::one", "--exact"], &["a::one"]);
        check(&["one_more", "two"], &["a::one_more", "b::two"]);
        check(&["--skip", "one"], &["b::two"]);
        check(&["--exact", "--skip", "a::one"], &["a::one_more", "b::two"]);
        check(&["--ignored"], &[]);
        check(&["none"], &[]);
    }
}
