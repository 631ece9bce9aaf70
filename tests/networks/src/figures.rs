//! Times, and what is said of many of them.

use std::fmt;
use std::time::Duration;

/// What many measurements come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figures {
    /// The one in the middle; of an even number the upper.
    pub median: Duration,
    /// The least.
    pub least: Duration,
    /// The most.
    pub most: Duration,
    /// How many there are.
    pub count: usize,
}

impl Figures {
    /// Of these, if there are any.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let (least, most) = (*times.first()?, *times.last()?);
        Some(Self { median: times[times.len() / 2], least, most, count: times.len() })
    }
}

/// `104 (102-131)`, in milliseconds.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "{:.0} ({:.0}-{:.0})", ms(self.median), ms(self.least), ms(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let times = [5, 1, 9].map(Duration::from_millis).to_vec();
        let figures = Figures::of(times).unwrap();
        assert_eq!(figures.to_string(), "5 (1-9)");
        assert_eq!(Figures::of(Vec::new()), None);
    }
}
